package rdsfake

import (
	"maps"
	"slices"
	"strings"
)

func (f *Fake) describeFamilies(c call) (string, *refusal) {
	name := c.form.Get("DBParameterGroupName")
	var found []string
	for _, key := range slices.Sorted(maps.Keys(f.families)) {
		if g := f.families[key]; g.Region == c.region && (name == "" || name == g.Name) {
			found = append(found, el("DBParameterGroup", text("DBParameterGroupName", g.Name), text("DBParameterGroupArn", g.ARN())))
		}
	}
	if name != "" && len(found) == 0 {
		return "", notFound("DBParameterGroupNotFound", "DBParameterGroup not found: %s", name)
	}
	page, marker := f.page(c, found)
	return result(c, text("Marker", marker), el("DBParameterGroups", page...)), nil
}

// removeFamily refuses a group that an instance uses, whose name begins the group's.
func (f *Fake) removeFamily(c call) (string, *refusal) {
	key := c.region + "/" + c.form.Get("DBParameterGroupName")
	g, ok := f.families[key]
	if !ok {
		return "", notFound("DBParameterGroupNotFound", "DBParameterGroup not found: %s", c.form.Get("DBParameterGroupName"))
	}
	for _, i := range f.instances {
		if i.Region == g.Region && strings.HasPrefix(g.Name, i.ID+"-") {
			return "", no("InvalidDBParameterGroupState", "One or more database instances are still members of this parameter group %s", g.Name)
		}
	}
	delete(f.families, key)
	return result(c), nil
}

func (f *Fake) tags(c call) (string, *refusal) {
	arn := c.form.Get("ResourceName")
	for _, g := range f.families {
		if g.ARN() == arn {
			return result(c, tagList("TagList", "Tag", "Key", "Value", g.Tags)), nil
		}
	}
	if g, ok := f.clusterGroups[arn]; ok {
		return result(c, tagList("TagList", "Tag", "Key", "Value", g.Tags)), nil
	}
	if i, ok := f.instances[arn]; ok {
		return result(c, tagList("TagList", "Tag", "Key", "Value", i.Tags)), nil
	}
	return "", notFound("DBParameterGroupNotFound", "nothing is %s", arn)
}
