package s3_test

import (
	"io"
	"net/url"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/tests3"
)

// BenchmarkPut stores a 16 MiB body whose size is not known, with the plain client as it comes and with the Store, on the embedded server.
func BenchmarkPut(b *testing.B) {
	const size = 16 << 20
	content := random(size)
	config := tests3.New(b)
	store, err := s3.Open(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(store.Close)
	address, err := url.Parse(config.Endpoint)
	if err != nil {
		b.Fatal(err)
	}
	plain, err := minio.New(address.Host, &minio.Options{Creds: credentials.NewStaticV4(config.AccessKey, config.SecretKey, ""), Region: "us-east-1"})
	if err != nil {
		b.Fatal(err)
	}
	for name, put := range map[string]func(io.Reader) error{
		"minio-go": func(body io.Reader) error {
			_, err := plain.PutObject(b.Context(), config.Bucket, "plain", body, -1, minio.PutObjectOptions{})
			return err
		},
		"minio-go, parts of 5 MiB": func(body io.Reader) error {
			_, err := plain.PutObject(b.Context(), config.Bucket, "plain", body, -1, minio.PutObjectOptions{PartSize: 5 << 20})
			return err
		},
		"store": func(body io.Reader) error {
			_, err := store.Put(b.Context(), "store", body, -1, "")
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := put(stream(content)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
