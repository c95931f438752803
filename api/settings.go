package api

import "context"

// Setting is a setting of the process that answers.
type Setting struct {
	Name        string `json:"name" doc:"The environment variable." example:"RATE_LIMIT"`
	Value       string `json:"value" doc:"What is in force, by default or because it was set. *** stands for a secret, and for addresses that may hold one; empty is unset." example:"12000"`
	Default     string `json:"default,omitempty" doc:"What it is when it is not set." example:"12000"`
	Secret      bool   `json:"secret" doc:"Whether the value is never shown." example:"false"`
	Description string `json:"description" doc:"What it does." example:"Requests that one key may make in a minute."`
}

// SettingList is every setting.
type SettingList struct {
	Data []Setting `json:"data" doc:"In the order of --help."`
}

func (s *Server) addSettings() {
	register(s, operation{
		method: "GET", path: "/v1/settings", id: "list-settings", tag: "System", status: 200, scope: scopeAdmin, everywhere: true,
		summary: "List the settings in force", description: "What the api process that answers runs by, without secrets. They are set in its environment and change with its next start; other roles have their own.",
		response: SettingList{[]Setting{{"RATE_LIMIT", "12000", "12000", false, "Requests that one key may make in a minute, over all api processes together; 0 is no limit."}}},
	}, s.listSettings)
}

func (s *Server) listSettings(context.Context, *struct{}) (*struct{ Body SettingList }, error) {
	return &struct{ Body SettingList }{SettingList{append([]Setting{}, s.config.Settings...)}}, nil
}
