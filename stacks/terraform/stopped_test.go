package terraform_test

import (
	"testing"

	"meridian/stacks/terraform"
)

func TestToldToStop(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		`{"@level":"info","@message":"\nInterrupt received.\nPlease wait for Terraform to exit or data loss may occur.\nGracefully shutting down...\n","type":"log"}`: true,
		`{"@level":"info","@message":"Stopping operation...","type":"log"}`:                                                                                           false,
		`{"@level":"error","@message":"Error: execution halted","type":"diagnostic","diagnostic":{"severity":"error","summary":"execution halted"}}`:                  false,
		`Interrupt received.`: false,
	} {
		e, err := terraform.ParseEvent([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if got := terraform.ToldToStop(e); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
}
