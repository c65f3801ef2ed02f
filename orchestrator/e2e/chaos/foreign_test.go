package chaos

import "testing"

// TestWhatTerraformKnew holds a question against the ledger: what an earlier wave made was in terraform's state when the next one began.
func TestWhatTerraformKnew(t *testing.T) {
	t.Parallel()
	const home = "/s/default.m1.word.izmir"
	for name, c := range map[string]struct {
		lines []string
		want  int
	}{
		"nothing begun":          {nil, 0},
		"the first wave":         {[]string{"1 create begin " + home + ".beside.05"}, 1},
		"the second wave":        {[]string{"1 create begin " + home + ".beside.05", "1 create begin " + home + ".beside.06"}, 2},
		"another's":              {[]string{"1 create begin /s/default.m1.other.izmir.beside.06"}, 0},
		"a removal is no create": {[]string{"1 delete begin " + home + ".beside.06"}, 0},
	} {
		if got := begun(lines(c.lines...), home, 9); got != c.want {
			t.Errorf("%s: wave %d, want %d", name, got, c.want)
		}
	}
	for address, want := range map[string]struct {
		path string
		wave int
	}{
		`module.database.terraform_data.identity`:        {"", 0},
		`module.database.localdb_directory.first["03"]`:  {home + ".beside.03", 1},
		`module.database.localdb_directory.second["06"]`: {home + ".beside.06", 2},
		`module.database.localdb_postgres.this`:          {"", 3},
	} {
		if path, wave := (question{Address: address}).object(home); path != want.path || wave != want.wave {
			t.Errorf("%s: %q of wave %d, want %q of %d", address, path, wave, want.path, want.wave)
		}
	}
}
