// Package testnode gives tests the npm packages that they run with node.
package testnode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// installTime bounds an installation; that of Baileys took 3 s.
	installTime = 5 * time.Minute
	// oldestNode is what the packages ask for.
	oldestNode = 20
)

// errNoNode says that this machine lacks what the packages run on.
var errNoNode = errors.New("no node of version " + strconv.Itoa(oldestNode) + " or newer with npm")

// T is what a test gives: a *testing.T, a *testing.B.
type T interface {
	Helper()
	Skipf(format string, args ...any)
	Fatal(args ...any)
}

// installed are the installations of this process by folder, each a function that makes it once.
var installed sync.Map

// Install puts the packages that the folder's package-lock.json names into its node_modules. It fails the test where that is impossible, but
// skips it outside CI where there is no node.
func Install(t T, dir string) {
	t.Helper()
	once, _ := installed.LoadOrStore(dir, sync.OnceValue(func() error { return install(dir) }))
	if err := once.(func() error)(); errors.Is(err, errNoNode) && os.Getenv("CI") != "true" {
		t.Skipf("node packages cannot run here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
}

func install(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	version, err := exec.CommandContext(ctx, "node", "--version").Output()
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, bad := strconv.Atoi(major); err != nil || bad != nil || n < oldestNode {
		return fmt.Errorf("%w: node --version says %q", errNoNode, version)
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	// A mark in node_modules says which lock file it is of: npm replaces the folder as a whole, so a half-made one has none.
	mark, sum := filepath.Join(dir, "node_modules", ".installed"), sha256.Sum256(lock)
	if have, err := os.ReadFile(mark); err == nil && string(have) == hex.EncodeToString(sum[:]) {
		return nil
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--prefer-offline")
	npm.Dir, npm.WaitDelay = dir, 10*time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return os.WriteFile(mark, []byte(hex.EncodeToString(sum[:])), 0o600) //nolint:gosec // the test's own folder
}
