terraform {
  required_version = ">= 1.11"

  required_providers {
    localdb = {
      source = "meridian.internal/meridian/localdb"
    }
  }
}
