package launch

import "context"

// StateVerb runs `terraform state ...` or `terraform import ADDRESS ID` on the state in the work directory; terraform.ParseStateVerb has passed
// the arguments.
func StateVerb(ctx context.Context, c Call, args []string) ([]byte, error) {
	options := map[string][]string{
		"import": {"-no-color", "-input=false", "-lock=false"}, "mv": {"-lock=false"}, "rm": {"-lock=false"}, "show": {"-no-color"},
	}
	verb := 1 // words that name the verb
	if args[0] == "state" {
		verb = 2
	}
	line := append(append([]string{}, args[:verb]...), options[args[verb-1]]...)
	return c.run(ctx, append(line, args[verb:]...)...)
}
