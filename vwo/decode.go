package vwo

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// decodeAlert reads a verified body. It fails only when the body is not one
// JSON object, or has a key twice that matters; a resource that it does not
// know is none of its errors.
func decodeAlert(body []byte) (alert, error) {
	d := decoder{scanner: scanner{text: body}}
	if !d.isObject() {
		if err := d.skip(); err != nil {
			return alert{}, err
		}
		return alert{}, errNoObject
	}
	if err := d.body(); err != nil {
		return alert{}, err
	}
	if err := d.end(); err != nil {
		return alert{}, err
	}
	d.finish()
	return d.alert, nil
}

type decoder struct {
	scanner
	alert alert

	// What is there under data.
	hasEvent, hasRule, hasMetric, hasIssue, hasError, hasComment, hasInstallation bool

	received, datetime, timestamp       time.Time
	started, detected, created, closing time.Time
	eventURL, projectID, metricTitle    string
}

// once fails at the second occurrence of a key that matters: which of two
// values counts is for nobody to guess.
type once uint32

func (o *once) see(bit uint) error {
	if *o&(1<<bit) != 0 {
		return errRepeated
	}
	*o |= 1 << bit
	return nil
}

func (d *decoder) body() error {
	var seen once
	return d.object(func(key []byte) (err error) {
		switch string(key) {
		case "action":
			err = d.take1(&seen, 0, &d.alert.action)
		case "installation":
			if err = seen.see(1); err == nil {
				err = d.installation()
			}
		case "data":
			if err = seen.see(2); err == nil {
				err = d.data()
			}
		default:
			err = d.skip()
		}
		return err
	})
}

// take1 takes a string or number, once.
func (d *decoder) take1(seen *once, bit uint, into *string) error {
	if err := seen.see(bit); err != nil {
		return err
	}
	value, err := d.scalar()
	*into = value
	return err
}

func (d *decoder) installation() error {
	var seen once
	return d.object(func(key []byte) error {
		if string(key) == "uuid" {
			return d.take1(&seen, 0, &d.alert.installation)
		}
		return d.skip()
	})
}

func (d *decoder) data() error {
	var seen once
	return d.object(func(key []byte) error {
		switch string(key) {
		case "event":
			d.hasEvent = d.isObject()
			if err := seen.see(0); err != nil {
				return err
			}
			return d.event()
		case "metric_alert":
			d.hasMetric = d.isObject()
			if err := seen.see(1); err != nil {
				return err
			}
			return d.metricAlert()
		case "triggered_rule":
			d.hasRule = d.next() == '"'
			return d.take1(&seen, 2, &d.alert.name)
		case "issue_alert":
			if err := seen.see(3); err != nil {
				return err
			}
			return d.issueAlert()
		case "issue":
			d.hasIssue = true
		case "error":
			d.hasError = true
		case "comment":
			d.hasComment = true
		case "installation":
			d.hasInstallation = true
		}
		return d.skip()
	})
}

func (d *decoder) event() error {
	var seen once
	return d.object(func(key []byte) error {
		switch string(key) {
		case "event_id":
			return d.take1(&seen, 0, &d.alert.id)
		case "project":
			return d.take1(&seen, 1, &d.projectID)
		case "url":
			return d.take1(&seen, 2, &d.eventURL)
		case "level":
			return d.take1(&seen, 3, &d.alert.level)
		case "environment":
			return d.take1(&seen, 4, &d.alert.environment)
		case "datetime":
			return d.time(&seen, 5, &d.datetime)
		case "received":
			return d.time(&seen, 6, &d.received)
		case "timestamp":
			return d.time(&seen, 7, &d.timestamp)
		case "tags":
			if err := seen.see(8); err != nil {
				return err
			}
			return d.array(d.tag)
		}
		return d.skip()
	})
}

// tag takes ["key","value"].
func (d *decoder) tag() error {
	var parts [2]string
	n, texts := 0, true
	err := d.array(func() error {
		if n >= len(parts) || d.next() != '"' {
			texts = false
			return d.skip()
		}
		text, err := d.string()
		parts[n] = text
		n++
		return err
	})
	if texts && n == len(parts) {
		d.alert.tags = append(d.alert.tags, pair{parts[0], parts[1]})
	}
	return err
}

func (d *decoder) issueAlert() error {
	var seen once
	return d.object(func(key []byte) error {
		switch string(key) {
		case "id":
			return d.take1(&seen, 0, &d.alert.ruleID)
		case "settings":
			if err := seen.see(1); err != nil {
				return err
			}
			return d.array(d.setting)
		}
		return d.skip()
	})
}

// setting takes {"name":…,"value":…}.
func (d *decoder) setting() error {
	var seen once
	var p pair
	named := false
	err := d.object(func(key []byte) error {
		switch string(key) {
		case "name":
			named = d.next() == '"'
			return d.take1(&seen, 0, &p.name)
		case "value":
			return d.take1(&seen, 1, &p.value)
		}
		return d.skip()
	})
	if named {
		d.alert.settings = append(d.alert.settings, p)
	}
	return err
}

func (d *decoder) metricAlert() error {
	var seen once
	return d.object(func(key []byte) error {
		switch string(key) {
		case "id":
			return d.take1(&seen, 0, &d.alert.id)
		case "title":
			return d.take1(&seen, 1, &d.metricTitle)
		case "status":
			return d.take1(&seen, 2, &d.alert.status)
		case "status_method":
			return d.take1(&seen, 3, &d.alert.statusMethod)
		case "date_started":
			return d.time(&seen, 4, &d.started)
		case "date_detected":
			return d.time(&seen, 5, &d.detected)
		case "date_created":
			return d.time(&seen, 6, &d.created)
		case "date_closed":
			return d.time(&seen, 7, &d.closing)
		case "projects":
			if err := seen.see(8); err != nil {
				return err
			}
			return d.array(func() error {
				project, err := d.scalar()
				if project != "" {
					d.alert.projects = append(d.alert.projects, project)
				}
				return err
			})
		case "alert_rule":
			if err := seen.see(9); err != nil {
				return err
			}
			return d.alertRule()
		}
		return d.skip()
	})
}

func (d *decoder) alertRule() error {
	var seen once
	return d.object(func(key []byte) error {
		switch string(key) {
		case "id":
			return d.take1(&seen, 0, &d.alert.ruleID)
		case "name":
			return d.take1(&seen, 1, &d.alert.name)
		case "environment":
			return d.take1(&seen, 2, &d.alert.environment)
		}
		return d.skip()
	})
}

// time takes a time as ISO 8601 text or as Unix seconds; anything else leaves
// it zero.
func (d *decoder) time(seen *once, bit uint, into *time.Time) error {
	if err := seen.see(bit); err != nil {
		return err
	}
	isText := d.next() == '"'
	text, err := d.scalar()
	if err != nil || text == "" {
		return err
	}
	if isText {
		*into = parseTime(text)
		return nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < 1e11 {
		whole, fraction := math.Modf(seconds)
		*into = time.Unix(int64(whole), int64(fraction*1e9)).UTC()
	}
	return nil
}

func parseTime(text string) time.Time {
	// Python leaves the zone out of a time that it thinks of as UTC.
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// finish draws what follows from all that was read.
func (d *decoder) finish() {
	a := &d.alert
	a.resource = d.recognise()
	switch a.resource {
	case resourceEventAlert:
		d.finishEventAlert()
	case resourceMetricAlert:
		d.finishMetricAlert()
	default:
		*a = alert{resource: a.resource, action: a.action, installation: a.installation}
	}
}

// recognise names the resource if the body is of exactly one kind.
func (d *decoder) recognise() resource {
	found := resourceUnknown
	for _, kind := range [...]struct {
		resource
		there bool
	}{
		{resourceEventAlert, d.hasEvent},
		{resourceMetricAlert, d.hasMetric},
		{resourceIssue, d.hasIssue},
		{resourceError, d.hasError},
		{resourceComment, d.hasComment},
		{resourceInstallation, d.hasInstallation},
	} {
		if !kind.there {
			continue
		}
		if found != resourceUnknown {
			return resourceUnknown
		}
		found = kind.resource
	}
	if found == resourceEventAlert && !d.hasRule {
		return resourceUnknown
	}
	return found
}

func (d *decoder) finishEventAlert() {
	a := &d.alert
	if d.projectID != "" {
		a.projects = append(a.projects, d.projectID)
	}
	if slug := projectInURL(d.eventURL); slug != "" {
		a.projects = append(a.projects, slug)
	}
	if a.environment == "" {
		for _, t := range a.tags {
			if t.name == "environment" {
				a.environment = t.value
			}
		}
	}
	// Sentry's own clock first: the other two are the sender's, and an event
	// may have waited on a phone for hours.
	for _, at := range []time.Time{d.received, d.datetime, d.timestamp} {
		if !at.IsZero() {
			a.at = at
			break
		}
	}
}

func (d *decoder) finishMetricAlert() {
	a := &d.alert
	if a.name == "" {
		a.name = d.metricTitle
	}
	if a.action == "resolved" {
		a.at = d.closing
		return
	}
	for _, at := range []time.Time{d.started, d.detected, d.created} {
		if at.After(a.at) {
			a.at = at
		}
	}
}

// projectInURL returns the project's slug out of
// https://…/api/0/projects/<org>/<project>/events/<id>/, the only place that
// has it.
func projectInURL(address string) string {
	_, path, found := strings.Cut(address, "://")
	if !found {
		return ""
	}
	parts := strings.Split(path, "/")
	if len(parts) < 8 || parts[1] != "api" || parts[2] != "0" || parts[3] != "projects" || parts[6] != "events" {
		return ""
	}
	return parts[5]
}
