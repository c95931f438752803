package devstack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// tarball packs files the way npm does.
func tarball(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for name, content := range files {
		header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestUnpacksFilesAndLinks(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	err := unpack(tarball(t, map[string]string{
		"package/native/bin/postgres":     "#!",
		"package/native/lib/libpq.so.5":   "library",
		"package/native/pg-symlinks.json": `[{"source":"native/lib/libpq.so.5","target":"native/lib/libpq.so"}]`,
	}), folder)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(folder, "native/lib/libpq.so")); err != nil || string(content) != "library" {
		t.Fatalf("through the link: %q, %v", content, err)
	}
	if info, err := os.Stat(filepath.Join(folder, "native/bin/postgres")); err != nil || info.Mode()&0o111 == 0 {
		t.Fatalf("the program is not executable: %v, %v", info, err)
	}
}

func TestUnpacksNothingOutsideItsFolder(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	folder := filepath.Join(parent, "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]map[string]string{
		"a file": {"package/../../escaped": "!", "package/native/pg-symlinks.json": "[]"},
		"a link": {"package/native/pg-symlinks.json": `[{"source":"native","target":"../escaped"}]`},
	} {
		_ = unpack(tarball(t, files), folder) // an error or nothing written, either will do
		if _, err := os.Lstat(filepath.Join(parent, "escaped")); err == nil {
			t.Errorf("%s escaped", name)
		}
	}
}

func TestFetchChecksTheSum(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/file" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("content"))
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	sum := sha512.Sum512([]byte("content"))
	good := base64.StdEncoding.EncodeToString(sum[:])
	if content, err := fetch(t.Context(), server.URL+"/file", good); err != nil || string(content) != "content" {
		t.Errorf("right sum: %q, %v", content, err)
	}
	if _, err := fetch(t.Context(), server.URL+"/file", "other"); err == nil {
		t.Error("a wrong sum was accepted")
	}
	if _, err := fetch(t.Context(), server.URL+"/missing", good); err == nil {
		t.Error("status 404 was accepted")
	}
}

func TestRegistryIsNpms(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("npm_config_registry", "")
	t.Setenv("NPM_CONFIG_REGISTRY", "")
	if got := registry(); got != defaultRegistry {
		t.Errorf("without settings: %s", got)
	}
	if err := os.WriteFile(filepath.Join(home, ".npmrc"), []byte("fund=false\nregistry = https://npm.example.com/mirror/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := registry(); got != "https://npm.example.com/mirror" {
		t.Errorf("with .npmrc: %s", got)
	}
	t.Setenv("npm_config_registry", "https://npm.example.org")
	if got := registry(); got != "https://npm.example.org" {
		t.Errorf("with npm_config_registry: %s", got)
	}
}

func TestTheNewestInstalledVersionWins(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"9.6/bin/initdb", "9.6/bin/postgres", "15/bin/initdb", "15/bin/postgres", "17/bin/initdb", "17/bin/postgres", "18/bin/psql"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := newestInstalled(root), filepath.Join(root, "17", "bin"); got != want {
		t.Errorf("newest is %s, want %s", got, want)
	}
}
