package console

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// flagView is a flag that is to be restored.
type flagView struct{ SwitchedOff }

// findFlag returns the flag that a request names.
func (c *Console) findFlag(ctx context.Context, w http.ResponseWriter, r *http.Request, target string) (flagView, bool) {
	all, err := c.config.Switches.SwitchedOff(ctx)
	if err != nil {
		c.problem(w, r, http.StatusServiceUnavailable, "What is switched off cannot be read: "+err.Error())
		return flagView{}, false
	}
	for _, off := range all {
		if off.Target == target {
			return flagView{off}, true
		}
	}
	c.problem(w, r, http.StatusNotFound, "There is no such flag that is switched off (any more).")
	return flagView{}, false
}

func (c *Console) showFlag(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTime)
	defer cancel()
	if v, ok := c.findFlag(ctx, w, r, r.URL.Query().Get("target")); ok {
		c.render(w, r, http.StatusOK, frame{Body: "flag", View: v})
	}
}

func (c *Console) restoreFlag(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.problem(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actTime)
	defer cancel()
	v, ok := c.findFlag(ctx, w, r, r.PostForm.Get("target"))
	if !ok {
		return
	}
	force, _ := strconv.ParseBool(r.PostForm.Get("force"))
	if r.PostForm.Get("confirm") != "yes" || v.Was == WasUnknown && !force {
		c.render(w, r, http.StatusUnprocessableEntity, frame{Body: "flag", View: v})
		return
	}
	if err := c.config.Switches.Restore(ctx, v.Target, userOf(r), force); err != nil {
		c.config.Logger.Error("console: a flag could not be restored", "by", userOf(r), "flag", v.Target, "error", err)
		c.problem(w, r, http.StatusBadGateway, "The flag may not be restored: "+err.Error())
		return
	}
	c.config.Logger.Info("console: somebody has restored a flag", "by", userOf(r), "flag", v.Target)
	seeOther(w, "./?did=restored")
}

// findSwitch returns the switch that a request names, and what is to be done with
// it.
func (c *Console) findSwitch(ctx context.Context, w http.ResponseWriter, r *http.Request, values url.Values) (pendingView, bool) {
	do, id := values.Get("do"), values.Get("id")
	if _, known := switchVerbs[do]; !known || id == "" {
		c.problem(w, r, http.StatusBadRequest, "This address names no switch, or nothing to do with it.")
		return pendingView{}, false
	}
	all, err := c.pending(ctx)
	if err != nil {
		c.problem(w, r, http.StatusServiceUnavailable, "What is to be switched cannot be read: "+err.Error())
		return pendingView{}, false
	}
	for _, one := range all {
		if one.ID != id {
			continue
		}
		if do == "retry" && !one.Failed {
			break
		}
		one.Do = do
		return one, true
	}
	c.problem(w, r, http.StatusNotFound, "There is no such switch (any more): it is done, given up or tried again already.")
	return pendingView{}, false
}

// switchVerbs are what can be done with a switch that is not done, and what the
// page says of it afterwards.
var switchVerbs = map[string]string{"retry": "retried", "giveup": "givenup"}

func (c *Console) showSwitch(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTime)
	defer cancel()
	if v, ok := c.findSwitch(ctx, w, r, r.URL.Query()); ok {
		c.render(w, r, http.StatusOK, frame{Body: "switch", View: v})
	}
}

func (c *Console) actOnSwitch(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.problem(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actTime)
	defer cancel()
	v, ok := c.findSwitch(ctx, w, r, r.PostForm)
	if !ok {
		return
	}
	if r.PostForm.Get("confirm") != "yes" {
		c.render(w, r, http.StatusUnprocessableEntity, frame{Body: "switch", View: v})
		return
	}
	act := c.config.Switches.Retry
	if v.Do == "giveup" {
		act = c.config.Switches.GiveUp
	}
	if err := act(ctx, v.ID, userOf(r)); err != nil {
		c.config.Logger.Error("console: a switch could not be dealt with", "do", v.Do, "by", userOf(r), "flag", v.Target, "error", err)
		c.problem(w, r, http.StatusBadGateway, "It is not known whether that worked, look again: "+err.Error())
		return
	}
	c.config.Logger.Info("console: somebody has dealt with a switch", "did", switchVerbs[v.Do], "by", userOf(r), "flag", v.Target, "alert", v.Alert)
	seeOther(w, "./?did="+switchVerbs[v.Do])
}
