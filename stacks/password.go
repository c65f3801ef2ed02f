package stacks

import "strconv"

// PasswordVersion counts the administrators' passwords that a database has had, from 1.
func (d Database) PasswordVersion() int64 { return max(1, d.Spec.AdminPasswordVersion) }

// AdminSecret is the catalog's name of the password that a region's administrator has by the spec. Each version has a name of its own: the one
// before stays in custody, so that whichever is in force while a change is made is known.
func (d Database) AdminSecret(region string) string {
	name := "region/" + region + "/admin"
	if v := d.PasswordVersion(); v > 1 {
		name += "/" + strconv.FormatInt(v, 10)
	}
	return name
}
