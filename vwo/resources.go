package vwo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sentryflags/sentryflags-go/internal/visible"
)

// Feature is a feature flag of the account. The API does not tell whether it is
// on.
type Feature struct {
	ID, Key, Name string
}

// Environment is an environment of one of the account's projects.
type Environment struct {
	ID, Name string
	// SDKKey is what an SDK is started with; [Client.Toggle] takes it, too.
	SDKKey string
	// Project is the name of the project that it belongs to.
	Project string
}

// featurePage is how many features are asked for at once.
const featurePage = 100

// maxFeaturePages bounds the walk over an account that never ends.
const maxFeaturePages = 100

// Feature returns the feature with the given id or key. It fails with
// [ErrNotFound] when there is none, and otherwise as [Client.Toggle] does.
func (c *Client) Feature(ctx context.Context, idOrKey string) (Feature, error) {
	if ctx == nil {
		return Feature{}, errNilContext
	}
	if err := checkName("feature", idOrKey); err != nil {
		return Feature{}, err
	}
	body, err := c.get(ctx, "features/"+idOrKey, nil)
	if err != nil {
		return Feature{}, err
	}
	var answer struct {
		Data *featureJSON `json:"_data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Data == nil {
		return Feature{}, notVWO(body)
	}
	found := answer.Data.feature()
	if found.ID != idOrKey && found.Key != idOrKey {
		return Feature{}, &AnswerError{Status: http.StatusOK, cause: ErrUnexpectedAnswer, Detail: "it is about another feature than " + visible.Quote(idOrKey)}
	}
	return found, nil
}

// Features lists all features of the account, a page of 100 per request and so
// per second. It fails as [Client.Toggle] does.
func (c *Client) Features(ctx context.Context) ([]Feature, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	var all []Feature
	known := map[string]bool{}
	for page := range maxFeaturePages {
		listed, err := c.featuresAt(ctx, page)
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, f := range listed {
			if feature := f.feature(); !known[feature.ID] {
				known[feature.ID] = true
				fresh++
				all = append(all, feature)
			}
		}
		// A server that ignores the offset would list the same page for ever.
		if len(listed) < featurePage || fresh == 0 {
			return all, nil
		}
	}
	return nil, &AnswerError{Status: http.StatusOK, cause: ErrUnexpectedAnswer, Detail: fmt.Sprintf("more than %d features", maxFeaturePages*featurePage)}
}

// featuresAt reads one page of the features, from 0.
func (c *Client) featuresAt(ctx context.Context, page int) ([]featureJSON, error) {
	query := url.Values{"limit": {strconv.Itoa(featurePage)}, "offset": {strconv.Itoa(page * featurePage)}}
	body, err := c.get(ctx, "features", query)
	if err != nil {
		return nil, err
	}
	return readList[featureJSON](body)
}

// Environments lists the environments of all projects of the account. It fails
// as [Client.Toggle] does.
func (c *Client) Environments(ctx context.Context) ([]Environment, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	body, err := c.get(ctx, "projects", nil)
	if err != nil {
		return nil, err
	}
	projects, err := readList[projectJSON](body)
	if err != nil {
		return nil, err
	}
	var all []Environment
	for _, p := range projects {
		for _, e := range p.Environments {
			all = append(all, Environment{ID: string(e.ID), Name: e.Name, SDKKey: e.Token, Project: p.Name})
		}
	}
	return all, nil
}

type featureJSON struct {
	ID         flexible `json:"id"`
	FeatureKey string   `json:"featureKey"`
	Key        string   `json:"key"`
	Name       string   `json:"name"`
}

func (f featureJSON) feature() Feature {
	key := f.FeatureKey
	if key == "" {
		key = f.Key
	}
	return Feature{ID: string(f.ID), Key: key, Name: f.Name}
}

type projectJSON struct {
	Name         string `json:"name"`
	Environments []struct {
		ID    flexible `json:"id"`
		Name  string   `json:"name"`
		Token string   `json:"token"`
	} `json:"environments"`
}

// flexible is an id that comes as a number or as a string.
type flexible string

func (f *flexible) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) == nil {
		*f = flexible(s)
		return nil
	}
	var n json.Number
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	*f = flexible(n.String())
	return nil
}

// readList reads {"_data":[…]}, and {"_data":{"partialCollection":[…]}} as
// VWO's older collections come.
func readList[T any](body []byte) ([]T, error) {
	var answer struct {
		Data json.RawMessage `json:"_data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Data) == 0 {
		return nil, notVWO(body)
	}
	var list []T
	if json.Unmarshal(answer.Data, &list) == nil {
		return list, nil
	}
	var collection struct {
		Partial *[]T `json:"partialCollection"`
	}
	if json.Unmarshal(answer.Data, &collection) != nil || collection.Partial == nil {
		return nil, notVWO(body)
	}
	return *collection.Partial, nil
}

func notVWO(body []byte) error {
	return &AnswerError{Status: http.StatusOK, cause: ErrUnexpectedAnswer, Detail: fmt.Sprintf("a body of %d bytes that is not VWO's", len(body))}
}
