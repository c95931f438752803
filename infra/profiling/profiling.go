// Package profiling shows what the processor and the memory of a process are used for, to go tool pprof. Who may see it is its caller's business:
// profiles name functions and hold no data, but taking one costs.
package profiling

import (
	"net/http"
	"net/http/pprof" // registers itself at http.DefaultServeMux too, which nobody serves
	"time"
)

// Longest is how long a profile may be taken: a server's WriteTimeout has to be longer.
const Longest = time.Minute

// Handler answers everything below /debug/pprof/, but for the command line.
func Handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /debug/pprof/{$}", pprof.Index)
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		routes.Handle("GET /debug/pprof/"+name, pprof.Handler(name))
	}
	routes.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	routes.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	routes.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	return routes
}
