package config

import (
	"fmt"
	"strings"
)

// Usage describes a role's flags and environment variables for --help, from its
// struct.
func Usage(target any) string {
	settings, _ := inspect(target)
	var out strings.Builder
	for _, s := range settings {
		name := s.env
		if s.flag != "" {
			name = "--" + s.flag + ", " + name
		}
		fmt.Fprintf(&out, "  %s\n", name)
		doc := s.doc
		switch {
		case s.required:
			doc += " Required."
		case s.defaultValue != "":
			doc += " Default: " + s.defaultValue + "."
		}
		for _, line := range wrap(doc, 72) {
			fmt.Fprintf(&out, "        %s\n", line)
		}
	}
	return out.String()
}

// wrap breaks a text into lines of at most width bytes, at spaces.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// Table is the settings of all roles as a Markdown table, for the README.
func Table() string {
	type row struct {
		setting
		roles, requiredBy []string
	}
	var rows []*row
	byName := make(map[string]*row)
	for _, role := range []struct {
		name   string
		target any
	}{
		{"dev", new(Dev)}, {"up", new(Up)}, {"api", new(API)}, {"connector", new(Connector)},
		{"dispatcher", new(Dispatcher)}, {"sandbox", new(Sandbox)}, {"migrate", new(Migrate)}, {"rekey", new(Rekey)},
		{"backup", new(Backup)}, {"restore", new(Restore)}, {"healthcheck", new(Healthcheck)}, {"mcp", new(MCP)},
	} {
		settings, _ := inspect(role.target)
		for _, s := range settings {
			r := byName[s.env]
			if r == nil {
				r = &row{setting: s}
				byName[s.env] = r
				rows = append(rows, r)
			}
			r.roles = append(r.roles, role.name)
			if s.required {
				r.requiredBy = append(r.requiredBy, role.name)
			}
		}
	}
	var out strings.Builder
	out.WriteString("| Variable | Flag | Default | Read by | What it is |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		flag, value := "", ""
		if r.flag != "" {
			flag = "`--" + r.flag + "`"
		}
		if r.defaultValue != "" {
			value = "`" + r.defaultValue + "`"
		}
		if len(r.requiredBy) > 0 {
			value = "required by " + strings.Join(r.requiredBy, ", ")
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s |\n", r.env, flag, value, strings.Join(r.roles, ", "), r.doc)
	}
	return out.String()
}
