//go:build race

package e2e

// memoryFactor: the detector keeps several times of what it watches, in the program too, which GOFLAGS builds with it.
const memoryFactor = 5
