package registry

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/registry/state"
)

func (a *API) settingRoutes() []gate.Route {
	global := gate.Param{Name: "defaultToGlobal", Type: "boolean", Doc: "Whether what holds is told where nothing is set"}
	var out []gate.Route
	for _, path := range []string{"", "/{subject}"} {
		suffix := ""
		if path != "" {
			suffix = "OfSubject"
		}
		out = append(out,
			gate.Route{Method: "GET", Path: "/config" + path, Name: "getConfig" + suffix, Summary: "Settings", Tag: "Config", Answer: state.Config{}, Errors: []int{40408}, Query: []gate.Param{global}, Handle: a.getConfig},
			gate.Route{Method: "PUT", Path: "/config" + path, Name: "updateConfig" + suffix, Summary: "Change settings", Tag: "Config", Body: ConfigRequest{}, Answer: ConfigRequest{}, Errors: []int{42203, 42205, 42208, 42210, 50001, 50002, 50004}, Handle: a.putConfig},
			gate.Route{Method: "DELETE", Path: "/config" + path, Name: "deleteConfig" + suffix, Summary: "End settings", Tag: "Config", Answer: state.Config{}, Errors: []int{40401, 42205, 50001, 50002, 50004}, Handle: a.deleteConfig},
			gate.Route{Method: "GET", Path: "/mode" + path, Name: "getMode" + suffix, Summary: "Mode", Tag: "Modes", Answer: ModeBody{}, Errors: []int{40409}, Query: []gate.Param{global}, Handle: a.getMode},
			gate.Route{Method: "PUT", Path: "/mode" + path, Name: "updateMode" + suffix, Summary: "Change the mode", Tag: "Modes", Body: ModeBody{}, Answer: ModeBody{}, Errors: []int{42204, 42205, 42206, 42208, 50001, 50002, 50004}, Query: []gate.Param{{Name: "force", Type: "boolean", Doc: "Whether to import where subjects are"}}, Handle: a.putMode},
			gate.Route{Method: "DELETE", Path: "/mode" + path, Name: "deleteMode" + suffix, Summary: "End the mode", Tag: "Modes", Answer: ModeBody{}, Errors: []int{40401, 42205, 50001, 50002, 50004}, Query: []gate.Param{{Name: "recursive", Type: "boolean", Doc: "Whether the modes of the subjects in a context end, too"}}, Handle: a.deleteMode},
		)
	}
	return out
}

// setting is the name that settings are about; "" is everything in the default context. Aliases are settings themselves, so none is
// followed here.
func (a *API) setting(r *http.Request, op acl.Operation) (string, error) {
	name, err := a.name(r, false)
	if err != nil {
		return "", err
	}
	return name, a.may(r, op, name)
}

func (a *API) getConfig(w http.ResponseWriter, r *http.Request) error {
	name, err := a.setting(r, acl.DescribeConfigs)
	if err != nil {
		return err
	}
	c, err := a.registry.Config(r.Context(), name, gate.QueryBool(r, "defaultToGlobal"))
	if err != nil {
		return err
	}
	return answer(w, r, c)
}

// putConfig changes what the body names: null ends a setting, what is left out stays.
func (a *API) putConfig(w http.ResponseWriter, r *http.Request) error {
	name, err := a.setting(r, acl.AlterConfigs)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(body, &named); err != nil || named == nil {
		return gate.Errorf(http.StatusBadRequest, "The body is not a JSON object")
	}
	out, err := a.registry.UpdateConfig(r.Context(), name, func(c *state.Config) error {
		q := requestOf(c)
		for field := range named {
			unset(&q, field)
		}
		if err := json.Unmarshal(body, &q); err != nil {
			return gate.Errorf(http.StatusBadRequest, "The body cannot be read: %v", err)
		}
		*c = q.config()
		return checkConfig(c)
	})
	if err != nil {
		return err
	}
	return answer(w, r, requestOf(out))
}

func requestOf(c *state.Config) ConfigRequest { return ConfigRequest(*c) }

func (q *ConfigRequest) config() state.Config { return state.Config(*q) }

// unset ends a setting before the body is read over it, since a null in JSON leaves a text as it was, and a map keeps its old entries.
func unset(q *ConfigRequest, field string) {
	switch field {
	case "alias":
		q.Alias = ""
	case "aliasForDeks":
		q.AliasForDeks = ""
	case "normalize":
		q.Normalize = nil
	case "validateFields":
		q.ValidateFields = nil
	case "validateNewSchemas":
		q.ValidateNewSchemas = nil
	case "validateRules":
		q.ValidateRules = nil
	case "compatibility":
		q.Level = ""
	case "compatibilityPolicy":
		q.Policy = ""
	case "compatibilityGroup":
		q.Group = ""
	case "defaultMetadata":
		q.DefaultMetadata = nil
	case "overrideMetadata":
		q.OverrideMetadata = nil
	case "defaultRuleSet":
		q.DefaultRuleSet = nil
	case "overrideRuleSet":
		q.OverrideRuleSet = nil
	}
}

func (a *API) deleteConfig(w http.ResponseWriter, r *http.Request) error {
	name, err := a.setting(r, acl.AlterConfigs)
	if err != nil {
		return err
	}
	c, err := a.registry.DeleteConfig(r.Context(), name)
	if err != nil {
		return err
	}
	return answer(w, r, c)
}

func (a *API) getMode(w http.ResponseWriter, r *http.Request) error {
	name, err := a.setting(r, acl.DescribeConfigs)
	if err != nil {
		return err
	}
	m, err := a.registry.Mode(r.Context(), name, gate.QueryBool(r, "defaultToGlobal"))
	if err != nil {
		return err
	}
	return answer(w, r, ModeBody{m})
}

func (a *API) putMode(w http.ResponseWriter, r *http.Request) error {
	name, err := a.setting(r, acl.AlterConfigs)
	if err != nil {
		return err
	}
	var q ModeBody
	if err := gate.ReadJSON(r, &q, false); err != nil {
		return err
	}
	m, err := a.registry.SetMode(r.Context(), name, string(q.Mode), gate.QueryBool(r, "force"))
	if err != nil {
		return err
	}
	return answer(w, r, ModeBody{m})
}

func (a *API) deleteMode(w http.ResponseWriter, r *http.Request) error {
	name, err := a.setting(r, acl.AlterConfigs)
	if err != nil {
		return err
	}
	m, err := a.registry.DeleteMode(r.Context(), name, gate.QueryBool(r, "recursive"))
	if err != nil {
		return err
	}
	return answer(w, r, ModeBody{m})
}
