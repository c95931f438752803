package events

import (
	"slices"
	"strings"
)

// NationalForms are the other forms in which a phone number (digits with its country code) may be written or registered, the likeliest first; none
// where its country has no such custom. They name the same line, so that where WhatsApp knows one of them the number as it was written meant
// that account:
//
//   - Brazil (55): an area code of two digits, none of them 0, and a subscriber number of eight. Mobile ones got a 9 before it, area by area, from
//     29 July 2012 to 6 November 2016 (Anatel, Resolução 553/2010). They begin with 6 to 9, landlines, which got none, with 2 to 5. Accounts
//     that are older than the 9 are still registered without it.
//   - Mexico (52): ten digits. Until 2 August 2019 a mobile number was dialled from abroad with a 1 before them (Plan Técnico Fundamental de
//     Numeración, DOF 11 May 2018). Accounts that are older are still registered with it.
//   - Argentina (54): ten digits, of which the area code has two (11), three or four. From abroad a mobile number has a 9 before them; at home,
//     without the 9, a 15 between the area code and the rest (Plan Fundamental de Numeración Nacional, Resolución SC 46/97).
//     Accounts are registered with the 9.
func NationalForms(number string) []string {
	var forms []string
	switch {
	case strings.HasPrefix(number, "55"):
		forms = brazilian(number[2:])
	case strings.HasPrefix(number, "52"):
		forms = mexican(number[2:])
	case strings.HasPrefix(number, "54"):
		forms = argentine(number[2:])
	}
	return slices.DeleteFunc(forms, func(form string) bool { return form == number })
}

func brazilian(national string) []string {
	if len(national) < 10 || national[0] == '0' || national[1] == '0' {
		return nil
	}
	area, subscriber := national[:2], national[2:]
	if len(subscriber) == 9 && subscriber[0] == '9' {
		subscriber = subscriber[1:]
	}
	if len(subscriber) != 8 || subscriber[0] < '6' {
		return nil
	}
	return []string{"55" + area + "9" + subscriber, "55" + area + subscriber}
}

func mexican(national string) []string {
	if len(national) == 11 && national[0] == '1' {
		national = national[1:]
	}
	if len(national) != 10 || national[0] < '2' { // no area code begins with 0 or 1
		return nil
	}
	return []string{"521" + national, "52" + national}
}

func argentine(national string) []string {
	bare := national
	if len(bare) > 10 {
		bare = strings.TrimPrefix(bare, "9")
	}
	switch len(bare) {
	case 10: // area code and the rest, with or without the 9
		if !areaOfArgentina(bare) {
			return nil
		}
		return []string{"549" + bare, "54" + bare}
	case 12: // with the 15, after an area code whose length the number does not tell
		var forms []string
		for _, area := range []int{2, 3, 4} {
			if bare[area:area+2] != "15" || (area == 2) != (bare[:2] == "11") {
				continue
			}
			if line := bare[:area] + bare[area+2:]; areaOfArgentina(line) {
				forms = append(forms, "549"+line, "54"+line)
			}
		}
		return forms
	}
	return nil
}

// areaOfArgentina says whether a national number begins as area codes do: 11, or 2 or 3 with more behind it.
func areaOfArgentina(national string) bool {
	return national[:2] == "11" || national[0] == '2' || national[0] == '3'
}
