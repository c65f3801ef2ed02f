package rdsfake

import (
	"fmt"
	"slices"
	"strings"
)

// filters reads the filters of a request of EC2.
func filters(c call) map[string]string {
	out := map[string]string{}
	for n := 1; ; n++ {
		name := c.form.Get(fmt.Sprintf("Filter.%d.Name", n))
		if name == "" {
			return out
		}
		out[name] = c.form.Get(fmt.Sprintf("Filter.%d.Value.1", n))
	}
}

// matches reports whether a group passes filters.
func (g Group) matches(c call) bool {
	if g.Region != c.region {
		return false
	}
	for name, value := range filters(c) {
		have := ""
		switch {
		case name == "group-name":
			have = g.Name
		case name == "vpc-id":
			have = g.VPC
		case name == "group-id":
			have = g.ID
		case strings.HasPrefix(name, "tag:"):
			have = g.Tags[strings.TrimPrefix(name, "tag:")]
			if prefix, ok := strings.CutSuffix(value, "*"); ok && strings.HasPrefix(have, prefix) {
				continue
			}
		}
		if have != value {
			return false
		}
	}
	return true
}

func (f *Fake) describeGroups(c call) (string, *refusal) {
	var items []string
	for _, g := range f.groups {
		if g.matches(c) {
			items = append(items, el("item", text("groupId", g.ID), text("groupName", g.Name), text("vpcId", g.VPC), text("ownerId", Account),
				tagList("tagSet", "item", "key", "value", g.Tags)))
		}
	}
	return el("DescribeSecurityGroupsResponse", text("requestId", "fake"), el("securityGroupInfo", items...)), nil
}

func (f *Fake) describeRules(c call) (string, *refusal) {
	var items []string
	for _, g := range f.groups {
		if !g.matches(c) {
			continue
		}
		for cidr, id := range g.Rules {
			items = append(items, el("item", text("securityGroupRuleId", id), text("groupId", g.ID), text("isEgress", "false"), text("ipProtocol", "tcp"),
				text("fromPort", "5432"), text("toPort", "5432"), text("cidrIpv4", cidr)))
		}
	}
	return el("DescribeSecurityGroupRulesResponse", text("requestId", "fake"), el("securityGroupRuleSet", items...)), nil
}

func (f *Fake) removeGroup(c call) (string, *refusal) {
	id := c.form.Get("GroupId")
	i := slices.IndexFunc(f.groups, func(g Group) bool { return g.ID == id && g.Region == c.region })
	if i < 0 {
		return "", no("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
	}
	f.groups = slices.Delete(f.groups, i, i+1)
	return el("DeleteSecurityGroupResponse", text("requestId", "fake"), text("return", "true")), nil
}
