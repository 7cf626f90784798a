// Package httptoggle switches the flags of any flag system that has an HTTP API,
// by configuration: a killswitch.Toggler without code.
//
// A [Config] is one request, which switches, with placeholders for what differs
// from switch to switch. In JSON, for a flag system of one's own:
//
//	{
//	  "method": "PUT",
//	  "url": "https://flags.example.com/api/${target.environment}/flags/${target.flag}",
//	  "headers": {"Authorization": {"prefix": "Bearer ", "env": "FLAGS_TOKEN"}},
//	  "body": {"enabled": "${state}", "comment": "${switch.reason}"},
//	  "confirm": {"pointer": "/enabled"},
//	  "before": {"url": "https://flags.example.com/api/${target.environment}/flags/${target.flag}", "pointer": "/enabled"}
//	}
//
// # Placeholders
//
//	${target.flag}         the flag
//	${target.<attribute>}  an attribute of the target: environment, project, ...
//	${state}               the word for the state that is set, by default true or false
//	${switch.alert}        the alert's name; empty when a person asked
//	${switch.trigger}      what happened: event_alert.triggered, ...
//	${switch.reason}       one line that says who asked, for the flag system's audit log
//	${switch.by}           the person who asked; empty when an alert did
//	${switch.at}           when it was decided, as RFC 3339
//	${switch.id}           the same for each attempt at one switch
//
// "$${" stands for "${". A target may come from a person who writes the
// configuration; the name of an alert comes from whoever may rename an alert in
// Sentry, and such a person must not be able to write instructions:
//
//   - The body is a JSON value. Placeholders are replaced inside its parsed
//     strings, and the whole is encoded anew, so that a quote in a name stays a
//     quote in a string. A string that is "${state}" and nothing else becomes
//     the word itself, a boolean for instance. Names of members take only
//     target.* and state.
//   - In the URL a placeholder is one whole segment of the path or one whole
//     value of the query, and is escaped. What would name another segment (".",
//     "..") is refused. The path takes target.*, state and switch.id.
//   - Headers take switch.id, which is letters, digits and "-", and nothing
//     else.
//   - Redirects are refused: the headers would travel along.
//
// # What it is not for
//
// It makes one request to switch, after at most one that asks for the former
// state. A flag system that wants ids to be looked up, or a version to be sent
// back, needs a toggler in Go.
package httptoggle
