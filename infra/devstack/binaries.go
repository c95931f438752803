package devstack

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// installHint ends the errors of a machine without PostgreSQL.
const installHint = "install PostgreSQL 15 or newer (Debian, Ubuntu: apt-get install postgresql), set PG_BIN to the folder of its initdb and postgres, or set DATABASE_URL to a server that runs already"

// findBinaries returns the folder of initdb and postgres: PG_BIN, else the
// newest that Debian's packages have installed, else the one on PATH, else a
// download kept in the user's cache.
func findBinaries(ctx context.Context, log *slog.Logger) (string, error) {
	if dir := os.Getenv("PG_BIN"); dir != "" {
		if !hasBinaries(dir) {
			return "", fmt.Errorf("PG_BIN: there is no initdb and postgres in %s; %s", dir, installHint)
		}
		return filepath.Abs(dir)
	}
	if dir := newestInstalled("/usr/lib/postgresql"); dir != "" {
		return dir, nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		// A link on PATH leads to where the server's other files are.
		if path, err = filepath.EvalSymlinks(path); err == nil && hasBinaries(filepath.Dir(path)) {
			return filepath.Abs(filepath.Dir(path))
		}
	}
	dir, err := download(ctx, log)
	if err != nil {
		return "", fmt.Errorf("find no PostgreSQL on this machine, and download none: %w; %s", err, installHint)
	}
	return dir, nil
}

// newestInstalled is the bin folder of the highest version from 15 on under
// root, which holds one folder a version, or "".
func newestInstalled(root string) string {
	bins, _ := filepath.Glob(filepath.Join(root, "*", "bin"))
	version := func(bin string) int {
		number, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
		if err != nil || number < 15 || !hasBinaries(bin) {
			return 0
		}
		return number
	}
	bins = slices.DeleteFunc(bins, func(bin string) bool { return version(bin) == 0 })
	if len(bins) == 0 {
		return ""
	}
	return slices.MaxFunc(bins, func(a, b string) int { return version(a) - version(b) })
}

func hasBinaries(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}
