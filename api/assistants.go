package api

import (
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/chasqui/chasqui/api/mcp"
)

// addAssistants adds POST /mcp, where assistants find their tools. It is no operation and not in the document: its requests are JSON-RPC, which the
// Model Context Protocol describes, and the tools describe themselves. It takes the same key, and each call of a tool is a request of its own to this
// router, so that both count for the limit, the log and the metrics.
func (s *Server) addAssistants() {
	tools := mcp.NewHandler(mcp.Config{MaySend: s.config.MCPMaySend, Version: s.config.Version, Logger: s.log}, s.router, keyOf)
	s.router.Method(http.MethodPost, "/mcp", s.ownOrigin(s.withKey(scopeRead, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := s.readBody(w, r, maxBody, "a message of MCP has at most 1 MiB")
		if !ok {
			return
		}
		if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) { // thousands of calls would count as one; MCP has dropped them
			s.writeProblem(w, r, problem(BadRequest, "send one JSON-RPC message in a request: batches are not taken"))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		tools.ServeHTTP(w, r)
	}))))
}

// ownOrigin refuses pages of other sites, as MCP wants servers to: a page whose name was made to lead here (DNS rebinding) shows its own name as
// Origin. Programs send none. Pages of this machine pass, such as inspectors; they have no key either, unless somebody gives it to them.
func (s *Server) ownOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && !s.knows(origin) {
			s.writeProblem(w, r, problem(Forbidden, "pages of another origin may not use /mcp; PUBLIC_URL says which is its own"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knows says whether an Origin is the API's own, or one of the machine that it runs on.
func (s *Server) knows(origin string) bool {
	from, err := url.Parse(origin)
	if err != nil || from.Host == "" {
		return false
	}
	if own, err := url.Parse(s.config.PublicURL); err == nil && strings.EqualFold(from.Scheme, own.Scheme) && strings.EqualFold(from.Host, own.Host) {
		return true
	}
	address, err := netip.ParseAddr(from.Hostname())
	return err == nil && address.IsLoopback() || strings.EqualFold(from.Hostname(), "localhost")
}
