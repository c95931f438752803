package api

import (
	"context"

	"github.com/chasqui/chasqui/infra/sinks"
)

// endpointSchemes are those of the URLs that an endpoint can have.
var endpointSchemes = append([]string{"http", "https"}, sinks.Schemes()...)

// checkTarget says what is wrong with the URL of an endpoint; the error's text is fit for a caller.
func (s *Server) checkTarget(ctx context.Context, url string) error {
	if sinks.Takes(url) {
		if err := sinks.Check(url); err != nil {
			return err
		}
	}
	return s.guard.CheckURLOf(ctx, url, endpointSchemes...)
}
