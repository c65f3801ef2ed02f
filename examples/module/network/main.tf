# A network on paper: one range of addresses for each zone, kept by terraform's own resource, so that it runs everywhere.

variable "cidr" {
  description = "The range of the whole network."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0))
    error_message = "The range is one like 10.0.0.0/16."
  }
}

variable "zones" {
  description = "The zones that get a part of it each."
  type        = list(string)
}

resource "terraform_data" "subnet" {
  for_each = toset(var.zones)
  input    = cidrsubnet(var.cidr, 8, index(var.zones, each.key))
}

output "subnets" {
  description = "The parts, by zone."
  value       = { for zone, subnet in terraform_data.subnet : zone => subnet.output }
}
