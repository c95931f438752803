package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"go.mau.fi/whatsmeow/store"

	"github.com/chasqui/chasqui/infra/sandbox/proxy"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// joinOperations are for programs that cannot be given another address, and for those that do not know LIDs.
func (s *Sandbox) joinOperations() map[string]operation {
	return map[string]operation{"GET /ca.pem": s.getCA, "PATCH /phones/{number}": s.patchPhone}
}

// startProxy starts the proxy where the configuration wants one.
func (s *Sandbox) startProxy(ctx context.Context) (err error) {
	if s.cfg.ProxyAddr != "" {
		s.proxy, err = proxy.Start(ctx, proxy.Config{Addr: s.cfg.ProxyAddr, Handler: s.asWhatsApp(), Logger: s.log})
	}
	return err
}

// asWhatsApp is what WhatsApp's hosts serve: the WebSocket, media, and the version of WhatsApp Web on the two pages where clients look for it
// (GetLatestVersion in whatsmeow's update.go, fetchLatestWaWebVersion of Baileys). The control API is not among it.
func (s *Sandbox) asWhatsApp() http.Handler {
	mux := http.NewServeMux()
	for _, path := range server.Paths {
		mux.Handle(path, s.server)
	}
	version := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `<script>{"client_revision":%d,"server":"sandbox"}</script>`+"\n", store.GetWAVersion()[2])
	}
	mux.HandleFunc("GET /{$}", version)
	mux.HandleFunc("GET /sw.js", version)
	return mux
}

// ProxyURL is what a program is given as HTTPS_PROXY, http://host:port; "" without a proxy.
func (s *Sandbox) ProxyURL() string {
	if s.proxy == nil {
		return ""
	}
	return "http://" + dialAddr(s.proxy.Addr())
}

// CA is the certificate, in PEM, that a program which comes through the proxy has to trust; nil without a proxy. Each start makes a new one.
func (s *Sandbox) CA() []byte {
	if s.proxy == nil {
		return nil
	}
	return s.proxy.CA()
}

const (
	// AddressingAuto addresses users by LID, but for linked devices that are too old to know LIDs (they log in without LidDbMigrated).
	AddressingAuto = "auto"
	// AddressingPN addresses users by phone number.
	AddressingPN = "pn"
)

// SetAddressing chooses how a phone's linked devices see users addressed: AddressingAuto or AddressingPN. It is in force at once.
func (s *Sandbox) SetAddressing(ctx context.Context, number, addressing string) error {
	if _, err := s.phone(number); err != nil {
		return err
	}
	if addressing != AddressingAuto && addressing != AddressingPN {
		return failure(http.StatusUnprocessableEntity, `addressing must be "auto" or "pn"`)
	}
	return s.server.AddressByNumber(ctx, number, addressing == AddressingPN)
}

// addressing is what SetAddressing chose.
func (s *Sandbox) addressing(number string) string {
	if s.server.AddressedByNumber(number) {
		return AddressingPN
	}
	return AddressingAuto
}

// HideNumber makes a phone keep its number from other accounts' linked devices, which see its LID alone, or show it again.
func (s *Sandbox) HideNumber(ctx context.Context, number string, on bool) error {
	if _, err := s.phone(number); err != nil {
		return err
	}
	return s.server.HideNumber(ctx, number, on)
}

func (s *Sandbox) patchPhone(r *http.Request) (int, any, error) {
	var in struct {
		Addressing string `json:"addressing"`
		Hidden     *bool  `json:"hidden"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	number := r.PathValue("number")
	if in.Addressing != "" || in.Hidden == nil {
		if err := s.SetAddressing(r.Context(), number, in.Addressing); err != nil {
			return 0, nil, err
		}
	}
	if in.Hidden != nil {
		if err := s.HideNumber(r.Context(), number, *in.Hidden); err != nil {
			return 0, nil, err
		}
	}
	phone, err := s.Phone(number)
	return http.StatusOK, phone, err
}

func (s *Sandbox) getCA(*http.Request) (int, any, error) {
	if s.proxy == nil {
		return 0, nil, failure(http.StatusNotFound, "this sandbox has no proxy: start it with SANDBOX_PROXY_ADDR")
	}
	return http.StatusOK, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(s.proxy.CA())
	}), nil
}

// dialAddr is a listener's address as this machine can dial it: a listener on every interface is reached by loopback.
func dialAddr(addr *net.TCPAddr) string {
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, fmt.Sprint(addr.Port))
}
