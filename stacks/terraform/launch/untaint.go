package launch

import "context"

// Untaint takes the taint from one resource in the state in the work directory. Whether the object is healthy is for the caller to prove.
func Untaint(ctx context.Context, c Call, address string) error {
	_, err := c.run(ctx, "untaint", "-no-color", address)
	return err
}
