package alert

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// payload reads a body into an Alert.
type payload struct {
	reader
	isObject bool
	alert    Alert

	// there and null hold the resources whose part is in the body.
	there, null parts
	// ruled says that triggered_rule is a string.
	ruled bool
	// What only one of the resources uses.
	triggeredRule, summary, webURL string
	issueAlert, workflow           rule
}

// parts is a set of resources, by their place in partNames.
type parts uint

// partNames are the keys of data that tell the resource. An issue beside an
// activity is the activity alert's.
var partNames = [...]struct {
	key      string
	resource Resource
}{
	{"event", EventAlert},
	{"metric_alert", MetricAlert},
	{"activity", ActivityAlert},
	{"issue", Issue},
	{"error", Error},
	{"comment", Comment},
	{"installation", Installation},
}

// rule is the alert that led to the integration, as data carries it.
type rule struct {
	id, title string
	settings  []Pair
}

// UnmarshalJSONFrom lets json.Unmarshal, which keeps decoders and refuses what
// follows the value, read the body.
func (p *payload) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	p.Decoder = d
	p.isObject = p.PeekKind() == jsontext.KindBeginObject
	for name := range p.object() {
		switch string(name) {
		case "action":
			p.alert.Action = p.text()
		case "installation":
			for name := range p.object() {
				if string(name) == "uuid" {
					p.alert.Installation = p.text()
				} else {
					p.skip()
				}
			}
		case "data":
			p.data()
		default:
			p.skip()
		}
	}
	return p.err
}

func (p *payload) data() {
	for name := range p.object() {
		for i, part := range partNames {
			if part.key == string(name) {
				p.note(i)
			}
		}
		switch string(name) {
		case "event", "error":
			p.event()
		case "triggered_rule":
			p.ruled = p.isString()
			p.triggeredRule = p.text()
		case "issue_alert":
			p.issueAlert = p.rule()
		case "metric_alert":
			p.metricAlert()
		case "description_title":
			p.summary = p.text()
		case "web_url":
			p.webURL = p.text()
		case "issue":
			p.issue()
		case "activity":
			p.activity()
		case "alert":
			p.workflow = p.rule()
		default:
			p.skip()
		}
	}
}

func (p *payload) note(part int) {
	if p.PeekKind() == jsontext.KindNull {
		p.null |= 1 << part
	} else {
		p.there |= 1 << part
	}
}

// finish returns the alert once all is read.
func (p *payload) finish() Alert {
	a := &p.alert
	a.Resource = p.resource()
	switch a.Resource {
	case EventAlert:
		a.Name, a.RuleID, a.Settings = p.triggeredRule, p.issueAlert.id, p.issueAlert.settings
	case MetricAlert:
		a.Summary, a.WebURL = p.summary, p.webURL
	case ActivityAlert:
		a.Name, a.RuleID, a.Settings = p.workflow.title, p.workflow.id, p.workflow.settings
	case Issue, Error:
	default:
		return Alert{Resource: a.Resource, Action: a.Action, Installation: a.Installation}
	}
	return *a
}

// resource tells what the body is about. A null counts if there is nothing else:
// Sentry sends "metric_alert": null when it could not load the incident in time.
func (p *payload) resource() Resource {
	set := p.there
	if set == 0 {
		set = p.null
	}
	found := Unknown
	for i, part := range partNames {
		switch {
		case set&(1<<i) == 0:
		case found == ActivityAlert && part.resource == Issue:
		case found != Unknown:
			return Unknown
		default:
			found = part.resource
		}
	}
	if found == EventAlert && !p.ruled {
		return Unknown
	}
	return found
}

func (p *payload) event() {
	if p.PeekKind() != jsontext.KindBeginObject {
		p.skip()
		return
	}
	a := &p.alert
	var project, url string
	var received, datetime, timestamp time.Time
	a.IssueType = IssueTypeError
	for name := range p.object() {
		switch string(name) {
		case "event_id":
			a.ID = p.text()
		case "project":
			project = p.text()
		case "url":
			url = p.text()
		case "web_url":
			a.WebURL = p.text()
		case "level":
			a.Level = p.text()
		case "environment":
			a.Environment = p.text()
		case "received":
			received = p.time()
		case "datetime":
			datetime = p.time()
		case "timestamp":
			timestamp = p.time()
		case "tags":
			a.Tags = p.tags()
		case "contexts":
			p.contexts()
		case "occurrence":
			a.IssueType = p.occurrence()
		default:
			p.skip()
		}
	}
	a.Projects = projects(project, projectInURL(url))
	if a.Environment == "" {
		a.Environment, _ = a.Tag("environment")
	}
	// Sentry's own clock first: the other two are the sender's, and an event may
	// have waited on a phone for hours.
	for _, at := range [...]time.Time{received, datetime, timestamp} {
		if !at.IsZero() {
			a.At = at
			break
		}
	}
}

// tags reads [["name","value"], ...]. Elements of any other form are left out.
func (p *payload) tags() (tags []Pair) {
	for range p.array() {
		var tag Pair
		n := 0
		for i := range p.array() {
			switch {
			case i == 0 && p.isString():
				tag.Name = p.text()
				n++
			case i == 1 && p.isString():
				tag.Value = p.text()
				n++
			default:
				p.skip()
				n = 3
			}
		}
		if n == 2 {
			tags = append(tags, tag)
		}
	}
	return tags
}

func (p *payload) contexts() {
	for name := range p.object() {
		if string(name) != "flags" {
			p.skip()
			continue
		}
		for name := range p.object() {
			if string(name) == "values" {
				p.alert.Flags = p.flags()
			} else {
				p.skip()
			}
		}
	}
}

// flags reads [{"flag": ..., "result": ...}, ...]. Sentry leaves null in the
// place of what it has cut.
func (p *payload) flags() (flags []Flag) {
	if p.PeekKind() == jsontext.KindBeginArray {
		flags = []Flag{} // an empty list is not the same as none
	}
	for range p.array() {
		var flag Flag
		named := false
		for name := range p.object() {
			switch string(name) {
			case "flag":
				named = p.isString()
				flag.Name = p.text()
			case "result":
				flag.Result = p.scalar()
			default:
				p.skip()
			}
		}
		if named {
			flags = append(flags, flag)
		}
	}
	return flags
}

// occurrence reads what kind of issue the event belongs to. The numbers are
// those of Sentry's group types.
func (p *payload) occurrence() string {
	if p.PeekKind() == jsontext.KindNull {
		p.skip()
		return IssueTypeError
	}
	number := ""
	for name := range p.object() {
		if string(name) == "type" {
			number = p.text()
		} else {
			p.skip()
		}
	}
	switch number {
	case "":
		return "occurrence"
	case "4001":
		return IssueTypeCron
	case "7001":
		return IssueTypeUptime
	case "8001":
		return IssueTypeMetric
	}
	return number
}

func (p *payload) rule() (r rule) {
	for name := range p.object() {
		switch string(name) {
		case "id":
			r.id = p.text()
		case "title":
			r.title = p.text()
		case "settings":
			r.settings = p.settings()
		default:
			p.skip()
		}
	}
	return r
}

// settings reads [{"name": ..., "value": ...}, ...].
func (p *payload) settings() (settings []Pair) {
	for range p.array() {
		var setting Pair
		named := false
		for name := range p.object() {
			switch string(name) {
			case "name":
				named = p.isString()
				setting.Name = p.text()
			case "value":
				setting.Value = p.text()
			default:
				p.skip()
			}
		}
		if named {
			settings = append(settings, setting)
		}
	}
	return settings
}

func (p *payload) metricAlert() {
	if p.PeekKind() != jsontext.KindBeginObject {
		p.skip()
		return
	}
	a, incident, title := &p.alert, &Incident{}, ""
	for name := range p.object() {
		switch string(name) {
		case "id":
			a.ID = p.text()
		case "title":
			title = p.text()
		case "status":
			incident.Status = IncidentStatus(p.number())
		case "status_method":
			incident.Method = StatusMethod(p.number())
		case "projects":
			for range p.array() {
				if project := p.text(); project != "" {
					a.Projects = append(a.Projects, project)
				}
			}
		case "date_started":
			incident.Started = p.time()
		case "date_detected":
			incident.Detected = p.time()
		case "date_created":
			incident.Created = p.time()
		case "date_closed":
			incident.Closed = p.time()
		case "alert_rule":
			p.alertRule()
		default:
			p.skip()
		}
	}
	if a.Name == "" {
		a.Name = title // Sentry sends null for a rule that it could not look up
	}
	a.Incident, a.At = incident, incident.At()
}

func (p *payload) alertRule() {
	for name := range p.object() {
		switch string(name) {
		case "id":
			p.alert.RuleID = p.text()
		case "name":
			p.alert.Name = p.text()
		case "environment":
			p.alert.Environment = p.text()
		default:
			p.skip()
		}
	}
}

// number reads a whole number; 0 for anything else.
func (p *payload) number() int {
	n, _ := strconv.Atoi(p.text())
	return n
}

func (p *payload) issue() {
	a := &p.alert
	var id, slug, link string
	for name := range p.object() {
		switch string(name) {
		case "id":
			a.ID = p.text()
		case "level":
			a.Level = p.text()
		case "issueType":
			a.IssueType = p.text()
		case "web_url":
			a.WebURL = p.text()
		case "permalink":
			link = p.text()
		case "lastSeen":
			a.At = p.time()
		case "project":
			for name := range p.object() {
				switch string(name) {
				case "id":
					id = p.text()
				case "slug":
					slug = p.text()
				default:
					p.skip()
				}
			}
		default:
			p.skip()
		}
	}
	a.Projects = projects(id, slug)
	if a.WebURL == "" {
		a.WebURL = link
	}
}

func (p *payload) activity() {
	for name := range p.object() {
		if string(name) == "type" {
			p.alert.Activity = p.text()
		} else {
			p.skip()
		}
	}
}

func projects(names ...string) []string {
	var all []string
	for _, name := range names {
		if name != "" {
			all = append(all, name)
		}
	}
	return all
}

// projectInURL returns the project's slug out of
// https://.../api/0/projects/<org>/<project>/events/<id>/, the only place of an
// event that has it.
func projectInURL(address string) string {
	_, path, found := strings.Cut(address, "://")
	if !found {
		return ""
	}
	_, path, _ = strings.Cut(path, "/")
	path, found = strings.CutPrefix(path, "api/0/projects/")
	if !found {
		return ""
	}
	_, path, _ = strings.Cut(path, "/") // the organisation
	project, path, _ := strings.Cut(path, "/")
	if !strings.HasPrefix(path, "events/") {
		return ""
	}
	return project
}
