// This module is empty: it hides node_modules from the Go tool.
module github.com/chasqui/chasqui/api/dashboard/ui

go 1.26
