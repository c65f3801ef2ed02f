package stacks

import (
	"cmp"
	"slices"
	"strconv"
)

// Growth is a number among the attributes of a resource that the cloud itself raises, and that nobody can lower: storage that grows with its data.
type Growth struct {
	// Type and Path are the resource's type and the attribute.
	Type, Path string
	// Most is up to where the cloud raises it by itself; 0 where that is switched off.
	Most float64
	// Field is the field of the spec that says where it begins, from the root; Unit is what it counts.
	Field, Unit string
}

// Grown is an attribute that is higher than a stack's configuration says.
type Grown struct {
	Growth
	Address string
	// Want is what the configuration says, Found what there is.
	Want, Found float64
}

// growthOf finds the growth that an attribute of a change is, and whether it is found above what is wanted.
func growthOf(growths []Growth, c Change, a AttributeChange, want, found string) (Grown, bool) {
	i := slices.IndexFunc(growths, func(g Growth) bool { return g.Type == c.Type && g.Path == a.Path })
	if i < 0 || a.Unknown || a.Sensitive {
		return Grown{}, false
	}
	w, err := strconv.ParseFloat(want, 64)
	f, err2 := strconv.ParseFloat(found, 64)
	if cmp.Or(err, err2) != nil {
		return Grown{}, false
	}
	return Grown{Growth: growths[i], Address: c.Address, Want: w, Found: f}, f > w
}

// Shrinks lists what a plan's changes would lower of what can only grow. It is pure.
func Shrinks(growths []Growth, changes []Change) (out []Grown) {
	for _, c := range changes {
		if c.Action != ActionUpdate {
			continue // what is made anew begins where the configuration says
		}
		for _, a := range c.Attributes {
			if g, higher := growthOf(growths, c, a, a.After, a.Before); higher {
				out = append(out, g)
			}
		}
	}
	return out
}

// grew leaves out of updates what the cloud raised by itself, as far as it may.
func grew(growths []Growth, changes []Change, values func(AttributeChange) (want, found string)) []Change {
	if len(growths) == 0 {
		return changes
	}
	var out []Change
	for _, c := range changes {
		had := len(c.Attributes)
		if c.Action == ActionUpdate {
			c.Attributes = slices.DeleteFunc(slices.Clone(c.Attributes), func(a AttributeChange) bool {
				want, found := values(a)
				g, higher := growthOf(growths, c, a, want, found)
				return higher && g.Found <= g.Most
			})
		}
		if had == 0 || len(c.Attributes) > 0 {
			out = append(out, c)
		}
	}
	return out
}
