package chaos

import (
	"os"
	"path/filepath"
)

// Root makes the directories of a run in a new one, which the user of PostgreSQL's servers can pass through, and names the binaries.
func Root(bin string) (root string, o Options, err error) {
	if o.Bin, err = filepath.Abs(bin); err != nil {
		return "", o, err
	}
	if root, err = os.MkdirTemp("", "m-chaos-"); err != nil {
		return "", o, err
	}
	o.Data, o.Aside = filepath.Join(root, "data"), filepath.Join(root, "aside")
	for _, dir := range []string{root, o.Data, o.Aside} {
		if err := passable(dir); err != nil {
			return root, o, err
		}
	}
	return root, o, nil
}

// passable makes a directory through which others may pass, whatever the umask says.
func passable(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	return os.Chmod(dir, 0o711)
}

// Entered becomes what a site's program is where that is what the command was started for; else it returns false. Every command that has
// sites calls it first: chaos -enter SITE -data DIR -- PROGRAM...
func Entered(args []string) (bool, error) {
	if len(args) < 6 || args[0] != "-enter" || args[2] != "-data" || args[4] != "--" {
		return false, nil
	}
	return true, enter(args[1], args[3], args[5:])
}
