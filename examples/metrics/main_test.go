package main

// The program shows what is registered.
func Example() {
	main()
	// Output:
	// flag_changes_dead 1
	// flag_changes_oldest_age_seconds 0
	// flag_changes_waiting 0
}
