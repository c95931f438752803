//go:build !race

package e2e

// memoryFactor is how much more memory the program under test takes than one that is built as usual.
const memoryFactor = 1
