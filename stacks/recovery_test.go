package stacks

import (
	"strings"
	"testing"
)

func TestRenderRecovery(t *testing.T) {
	f, err := RenderRecovery(Recovery{Import: []Import{
		{Address: "module.database.localdb_postgres.this", ID: "/srv/a"}, {Address: `module.database.localdb_directory.beside["01"]`, ID: "${file(\"/x\")}"},
		{Address: "aws_db_instance.x[0]", ID: "name"},
	}})
	if err != nil || f.Path != RecoveryFile {
		t.Fatalf("%q, %v", f.Path, err)
	}
	for _, want := range []string{
		"import {\n  to = module.database.localdb_postgres.this\n  id = \"/srv/a\"\n}", `to = module.database.localdb_directory.beside["01"]`,
		`id = "$${file(\"/x\")}"`, "to = aws_db_instance.x[0]",
	} {
		if !strings.Contains(string(f.Content), want) {
			t.Errorf("%s is missing in\n%s", want, f.Content)
		}
	}
	if f, err := RenderRecovery(Recovery{Untaint: []string{"a.b"}, Anew: true}); err != nil || f.Path != "" {
		t.Errorf("without imports: %q, %v", f.Path, err)
	}
	for name, bad := range map[string]Import{
		"no address": {ID: "x"}, "no ID": {Address: "a.b"}, "an expression": {Address: "a.b + c", ID: "x"}, "a second block": {Address: "a.b\nid = 1", ID: "x"},
	} {
		if _, err := RenderRecovery(Recovery{Import: []Import{bad}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
