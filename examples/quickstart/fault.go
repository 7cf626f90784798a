package main

// fault is the bug in the shop: the visitor's checkout fails while the flag has
// the value for them.
type fault struct {
	flag    string
	value   bool
	visitor string
}

// findFault chooses the flag that the bug hides behind: new-checkout, if it is
// on for somebody, or else the first boolean flag that is on for some visitors
// and off for others, or for all, or for nobody.
func findFault(flags definitions) (fault, bool) {
	var found fault
	best := 0
	for _, name := range flags.names() {
		if flags[name].kind() != kindBoolean {
			continue
		}
		candidate, rank := flags.faultBehind(name)
		if rank > best {
			found, best = candidate, rank
		}
	}
	return found, best > 0
}

// faultBehind returns the bug behind a boolean flag and how well it shows what
// flags on errors are good for.
func (d definitions) faultBehind(name string) (fault, int) {
	candidate := fault{flag: name, value: false, visitor: visitors[0].name}
	on := 0
	for _, visitor := range visitors {
		if !d.boolean(name, visitor) {
			continue
		}
		if on == 0 {
			candidate.value, candidate.visitor = true, visitor.name
		}
		on++
	}
	switch {
	case on > 0 && name == "new-checkout":
		return candidate, 4
	case on > 0 && on < len(visitors):
		return candidate, 3
	case on > 0:
		return candidate, 2
	default:
		return candidate, 1
	}
}

// strikes reports whether the visitor's checkout fails.
func (f fault) strikes(visitor user, values map[string]bool) bool {
	value, evaluated := values[f.flag]
	return evaluated && value == f.value && visitor.name == f.visitor
}
