package pgclient

import (
	"strings"
	"testing"
)

func TestScram(t *testing.T) {
	// The example of RFC 7677, section 3.
	const rfc = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	other, err := Verifier("pencil")
	if err != nil || other == rfc {
		t.Fatalf("%s %v", other, err)
	}
	for name, test := range map[string]struct {
		verifier, password string
		want               bool
	}{
		"RFC":             {rfc, "pencil", true},
		"other salt":      {other, "pencil", true},
		"wrong":           {rfc, "pen", false},
		"md5":             {"md5c4ca4238a0b923820dcc509a6f75849b", "pencil", false},
		"empty":           {"", "pencil", false},
		"no iterations":   {"SCRAM-SHA-256$x:W22ZaJ0SNY7soEsUEjb6gQ==$a:b", "pencil", false},
		"bad salt":        {"SCRAM-SHA-256$4096:-$a:b", "pencil", false},
		"empty password":  {rfc, "", false},
		"cut short":       {rfc[:len(rfc)-1], "pencil", false},
		"not for ASCII":   {rfc, "pencilé", false},
		"too many":        {"SCRAM-SHA-256$10000001:W22ZaJ0SNY7soEsUEjb6gQ==$a:b", "pencil", false},
		"another key":     {strings.Replace(rfc, "WG5", "WG6", 1), "pencil", false},
		"only the prefix": {"SCRAM-SHA-256$", "pencil", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Matches(test.verifier, test.password); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestPasswordsThatCannotBe(t *testing.T) {
	for _, bad := range []string{"", "çay", "a\nb"} {
		if _, err := Verifier(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
