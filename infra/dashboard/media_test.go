package dashboard

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/chasqui/chasqui/infra/testdev"
)

// TestMedia uploads an image and a page of HTML: the image is seen, the page is not run but only downloaded; the address without a key works, and what is deleted is gone at the API.
func TestMedia(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	picture, err := os.ReadFile("testdata/blanket.png")
	if err != nil {
		t.Fatal(err)
	}
	image, page := filepath.Join(folder, "manta de TestMedia.png"), filepath.Join(folder, "page of TestMedia.html")
	for name, content := range map[string][]byte{image: picture, page: []byte("<!doctype html><script>document.title = 'run'</script><p>it runs</p>")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tab := open(t, "/media")
	tab.Sees("Upload a file")
	tab.Upload("#upload", image)
	tab.Await(`!!document.querySelector('dialog[open] #media-id') && document.querySelector('dialog[open] img')?.naturalWidth > 0`)
	id := tab.Evaluate(`document.querySelector('#media-id').innerText`)
	var info struct{ FileName, Mimetype, Status string }
	must(t, "GET", "/v1/media/"+id, nil, &info)
	if info.FileName != "manta de TestMedia.png" || info.Mimetype != "image/png" || info.Status != "ready" {
		t.Errorf("what was uploaded is %+v", info)
	}
	tab.Click("text=Make an address without a key")
	tab.Await(`document.querySelector('#presigned')?.innerText.startsWith('http')`)
	res, err := http.Get(tab.Evaluate(`document.querySelector('#presigned').innerText`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err != nil || len(got) != len(picture) {
		t.Errorf("the address without a key has %d bytes, %v; the file has %d", len(got), err, len(picture))
	}
	tab.Click("text=Close")
	tab.Await(`!document.querySelector('dialog[open]') && document.querySelector('[data-file="` + id + `"] img')?.naturalWidth > 0`) // its thumbnail

	tab.Upload("#upload", page)
	tab.Sees("page of TestMedia.html")
	tab.Await(`!!document.querySelector('dialog[open] #media-id') && !document.querySelector('dialog[open] :is(img, iframe, object, embed)')`)
	tab.Click("text=Close")
	tab.Choose("select[name=kind]", "image")
	tab.Await(`location.search === '?kind=image' && !document.body.innerText.includes('page of TestMedia.html') && !!document.querySelector('[data-file="` + id + `"]')`)
	tab.Size(390, 844)
	fits(t, tab)

	tab.Click(`[data-file="` + id + `"]`)
	tab.Click("text=Delete")
	tab.Click("text=Cancel")
	tab.Await(`!!document.querySelector('dialog[open] #media-id')`)
	tab.Click("text=Delete")
	tab.Sees("Delete this file?")
	tab.Click("dialog[open] button[type=submit]")
	tab.Await(`!document.querySelector('dialog[open]') && !document.querySelector('[data-file="` + id + `"]')`)
	if status, _ := testdev.Call(t, "GET", running.URL+"/v1/media/"+id+"/content", nil, nil); status != http.StatusGone && status != http.StatusNotFound {
		t.Errorf("the file that was deleted is answered %d", status)
	}

	var key struct{ Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "reader of TestMedia", "scopes": []string{"read"}}, &key)
	reader := openAs(t, key.Key, "/media?file=med_01932f0c5d6b7a10b1f4d0c4a8e2f001")
	reader.Await(`!!document.querySelector('dialog[open] a[href="/problems/media_not_found"]') && !document.querySelector('#upload')`)
}
