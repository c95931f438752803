package sandbox

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// The operations of profile.go as requests.

func (s *Sandbox) putPicture(r *http.Request) (int, any, error) {
	var in struct {
		Data []byte `json:"data"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if len(in.Data) == 0 {
		return 0, nil, failure(http.StatusUnprocessableEntity, "data must be a JPEG, in base64")
	}
	id, err := s.SetPicture(r.Context(), r.PathValue("number"), of(r), in.Data)
	return http.StatusOK, map[string]string{"id": id}, err
}

func (s *Sandbox) deletePicture(r *http.Request) (int, any, error) {
	_, err := s.SetPicture(r.Context(), r.PathValue("number"), of(r), nil)
	return http.StatusNoContent, nil, err
}

// of is whom a request asks about: the phone itself when nobody is named.
func of(r *http.Request) string { return cmp.Or(r.URL.Query().Get("of"), r.PathValue("number")) }

func (s *Sandbox) getPicture(r *http.Request) (int, any, error) {
	id, jpeg, err := s.Picture(r.Context(), r.PathValue("number"), of(r), r.URL.Query().Get("preview") == "true")
	return http.StatusOK, map[string]any{"id": id, "data": jpeg}, err
}

func (s *Sandbox) putAbout(r *http.Request) (int, any, error) {
	var in struct {
		Text string `json:"text"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.SetAbout(r.Context(), r.PathValue("number"), in.Text)
}

func (s *Sandbox) getAbout(r *http.Request) (int, any, error) {
	text, err := s.About(r.Context(), r.PathValue("number"), of(r))
	return http.StatusOK, map[string]string{"text": text}, err
}

func (s *Sandbox) getBlocked(r *http.Request) (int, any, error) {
	numbers, err := s.Blocked(r.Context(), r.PathValue("number"))
	return http.StatusOK, map[string]any{"numbers": numbers}, err
}

func (s *Sandbox) putBlocked(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.Block(r.Context(), r.PathValue("number"), r.PathValue("other"), true)
}

func (s *Sandbox) deleteBlocked(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.Block(r.Context(), r.PathValue("number"), r.PathValue("other"), false)
}

func (s *Sandbox) getPrivacy(r *http.Request) (int, any, error) {
	settings, err := s.Privacy(r.Context(), r.PathValue("number"))
	return http.StatusOK, settings, err
}

func (s *Sandbox) putPrivacy(r *http.Request) (int, any, error) {
	var in struct {
		Value   string   `json:"value"`
		Numbers []string `json:"numbers"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.SetPrivacy(r.Context(), r.PathValue("number"), r.PathValue("setting"), in.Value, in.Numbers...)
}

func (s *Sandbox) putDisappearing(r *http.Request) (int, any, error) {
	var in struct {
		Seconds int64 `json:"seconds"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	const longest = 365 * 24 * 3600
	if in.Seconds < 0 || in.Seconds > longest {
		return 0, nil, failure(http.StatusUnprocessableEntity, "seconds must be 0 to %d", longest)
	}
	return http.StatusNoContent, nil, s.SetDisappearing(r.Context(), r.PathValue("number"), time.Duration(in.Seconds)*time.Second)
}

// SetDisappearing sets the time after which the messages of the phone's new chats disappear; 0 is never.
func (s *Sandbox) SetDisappearing(ctx context.Context, number string, after time.Duration) error {
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		return client.SetDefaultDisappearingTimer(ctx, after)
	})
}

func (s *Sandbox) getLink(r *http.Request) (int, any, error) {
	link, err := s.ContactLink(r.Context(), r.PathValue("number"), false)
	return http.StatusOK, map[string]string{"link": link}, err
}

func (s *Sandbox) deleteLink(r *http.Request) (int, any, error) {
	link, err := s.ContactLink(r.Context(), r.PathValue("number"), true)
	return http.StatusOK, map[string]string{"link": link}, err
}

func (s *Sandbox) postLink(r *http.Request) (int, any, error) {
	var in struct {
		Text string `json:"text"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	link, err := s.MessageLink(r.Context(), r.PathValue("number"), in.Text)
	return http.StatusCreated, map[string]string{"link": link}, err
}

func (s *Sandbox) getBusiness(r *http.Request) (int, any, error) {
	number := r.PathValue("number")
	if _, err := s.phone(number); err != nil {
		return 0, nil, err
	}
	profile := s.server.Business(number)
	if profile == nil {
		return 0, nil, failure(http.StatusNotFound, "phone %s is no business", number)
	}
	return http.StatusOK, profile, nil
}

func (s *Sandbox) putBusiness(r *http.Request) (int, any, error) {
	var in server.Business
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, in, s.SetBusiness(r.Context(), r.PathValue("number"), &in)
}

func (s *Sandbox) deleteBusiness(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.SetBusiness(r.Context(), r.PathValue("number"), nil)
}
