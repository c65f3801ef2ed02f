variable "owner" {
  description = "The mark by which the node is known as this stack's. It never changes."
  type        = string
}

variable "cluster" {
  description = "The cluster's name, the same in all regions."
  type        = string
}

variable "datacenter" {
  description = "The node's data centre: the region's name."
  type        = string
}

variable "address" {
  description = "The loopback address on which the node listens."
  type        = string
}

variable "port" {
  description = "The port of CQL."
  type        = number
}

variable "storage_port" {
  description = "The port of the nodes among themselves."
  type        = number
}

variable "seeds" {
  description = "The nodes by which this one finds its cluster."
  type        = list(string)
}

variable "data_dir" {
  description = "The directory that the node owns. Another one makes another node, without the data."
  type        = string
}

variable "engine_version" {
  description = "A line of versions (\"5.0\": the newest 5.0.x of this machine) or an exact one."
  type        = string
}

variable "settings" {
  description = "What of cassandra.yaml is set."
  type        = map(string)
  default     = {}
}

variable "admin_password" {
  description = "The password of the cluster's administrator. It is in no plan and no state."
  type        = string
  ephemeral   = true
  sensitive   = true
}
