package events

import (
	"slices"
	"testing"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

func TestNationalForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, number string
		want         []string
	}{
		{"Brazil, mobile without the ninth digit", "551187654321", []string{"5511987654321"}},
		{"Brazil, mobile with it", "5511987654321", []string{"551187654321"}},
		{"Brazil, mobile of an old range", "554167654321", []string{"5541967654321"}},
		{"Brazil, a landline has no 9", "551132654321", nil},
		{"Brazil, no area code begins with 0", "550187654321", nil},
		{"Brazil, nine digits that do not begin with 9", "5511887654321", nil},
		{"Brazil, too short", "5511876543", nil},
		{"Mexico, without the 1", "525512345678", []string{"5215512345678"}},
		{"Mexico, with it", "5215512345678", []string{"525512345678"}},
		{"Mexico, no area code begins with 1", "521234567890", nil},
		{"Mexico, too short", "52551234567", nil},
		{"Argentina, without the 9", "541123456789", []string{"5491123456789"}},
		{"Argentina, with it", "5491123456789", []string{"541123456789"}},
		{"Argentina, as at home, area code 11", "54111523456789", []string{"5491123456789", "541123456789"}},
		{"Argentina, both the 9 and the 15", "549111523456789", []string{"5491123456789", "541123456789"}},
		{"Argentina, as at home, area code of three digits", "54351154567890", []string{"5493514567890", "543514567890"}},
		{"Argentina, as at home, area code of four digits", "54290115456789", []string{"5492901456789", "542901456789"}},
		{"Argentina, as at home, a 15 that ends the area code is not the one", "54351515456789", []string{"5493515456789", "543515456789"}},
		{"Argentina, no area code begins with 5", "545123456789", nil},
		{"another country", "4915112345678", nil},
		{"nothing but a country code", "55", nil},
		{"", "", nil},
	} {
		if got := NationalForms(c.number); !slices.Equal(got, c.want) {
			t.Errorf("%s, %s: %q, want %q", c.what, c.number, got, c.want)
		}
	}
}

// FuzzNationalForms shows that every form is an address, and that the forms of one line lead to each other.
func FuzzNationalForms(f *testing.F) {
	for _, seed := range []string{"551187654321", "5215512345678", "54111523456789", "54351515456789", "5", "55", "5400"} {
		f.Add(seed)
	}
	testfuzz.Run(f, func(t *testing.T, number string) {
		if !digits(number) || len(number) > 15 {
			return
		}
		for _, form := range NationalForms(number) {
			if _, err := ParseAddress(form); err != nil {
				t.Errorf("%s is written as %s: %v", number, form, err)
			}
			if len(number) < 14 && !slices.Contains(NationalForms(form), number) {
				t.Errorf("%s is written as %s, and not the other way round", number, form)
			}
		}
	})
}
