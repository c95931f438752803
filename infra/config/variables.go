package config

// A Variable is one environment variable that a role reads.
type Variable struct {
	Name     string
	Required bool // the role does not start without it
	Secret   bool // its value must not be shown: a key, or an address that may hold a password
}

// Variables lists what a role's struct is filled from, in the order of --help.
func Variables(target any) []Variable {
	settings, _ := inspect(target)
	variables := make([]Variable, len(settings))
	for i, s := range settings {
		variables[i] = Variable{Name: s.env, Required: s.required, Secret: secretKinds[s.kind]}
	}
	return variables
}
