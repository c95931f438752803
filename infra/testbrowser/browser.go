package testbrowser

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// chromium is one that tests use at the same time. Signing in takes 1.3 s of the processor in a Chromium of its own, and 0.5 s in one that runs, without unneeded.
type chromium struct {
	ctx   context.Context // it ends with the Chromium, also where that dies by itself
	end   func()
	users int
}

// browsers are the Chromiums that are in use, by their flags.
var browsers = struct {
	sync.Mutex
	running map[string]*chromium
}{running: map[string]*chromium{}}

// take returns the context of a Chromium with some flags. The first test that needs one starts it, and the last that uses it ends it: tests that run in parallel overlap, so that one
// start serves most of a package. One that has died fails the tests that were using it, at once, and the next test starts another.
func take(t *testing.T, flags []string) context.Context {
	t.Helper()
	path := installed()
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Chromium is installed")
		}
		t.Skip("no Chromium is installed")
	}
	name := strings.Join(slices.Sorted(slices.Values(flags)), " ")
	browsers.Lock()
	defer browsers.Unlock()
	b := browsers.running[name]
	if b == nil || b.ctx.Err() != nil {
		var err error
		if b, err = start(path, flags); err != nil {
			t.Fatal(err)
		}
		browsers.running[name] = b
	}
	b.users++
	t.Cleanup(func() {
		browsers.Lock()
		defer browsers.Unlock()
		if b.users--; b.users > 0 {
			return
		}
		b.end()
		if browsers.running[name] == b {
			delete(browsers.running, name)
		}
	})
	return b.ctx
}

// Untrusted is a name of this machine that a browser trusts less than 127.0.0.1: by http a page there is in no secure context, as one of an address in a local network is.
const Untrusted = "chasqui.test"

// unneeded are features that start processes which no test uses, several a window: the pages below the address bar, and the one that waits for the next site. The first two chromedp
// takes away too.
const unneeded = "Translate,BlinkGenPropertyTrees,WebUIOmniboxPopup,WebUIOmniboxAimPopup,SpareRendererForSitePerProcess"

// start starts a Chromium. It is of no test, and ends with this process in any case: its pipe breaks, and the kernel kills it (chromedp).
func start(path string, flags []string) (*chromium, error) {
	folder, remove, err := folder()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(folder),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-features", unneeded),
		chromedp.Flag("host-resolver-rules", "MAP "+Untrusted+" 127.0.0.1"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	for _, flag := range flags {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endBrowser := chromedp.NewContext(allocator)
	end := func() {
		endBrowser()
		endAllocator()
		remove()
	}
	late := time.AfterFunc(wait, endBrowser) // the context of the first run is the browser's: it may have no deadline
	err = chromedp.Do(ctx)
	late.Stop()
	if err != nil {
		end()
		return nil, err
	}
	return &chromium{ctx: ctx, end: end}, nil
}

// folder makes a folder for what a Chromium writes, and returns what removes it. A shell waits for that, or for the end of this process: a test's process that is killed leaves none behind.
func folder() (path string, remove func(), err error) {
	path, err = os.MkdirTemp("", "chasqui-chromium-")
	if err != nil {
		return "", nil, err
	}
	keeper := exec.Command("sh", "-c", `read -r end; until rm -rf "$0"; do sleep 0.1; done`, path) //nolint:gosec,noctx // G204: a folder of our own; it ends by itself
	keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                                       // an interrupt at the terminal is not for it
	in, err := keeper.StdinPipe()
	if err == nil {
		err = keeper.Start()
	}
	if err != nil {
		_ = os.Remove(path)
		return "", nil, err
	}
	return path, func() {
		_ = in.Close()
		_ = keeper.Wait()
	}, nil
}

// installed is where Chromium is, or nothing.
func installed() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
