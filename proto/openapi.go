// Package proto is the root of Gantry's API contract: the .proto files and
// what is generated from them.
package proto

import _ "embed" // for the OpenAPI document

// OpenAPI is the REST API as an OpenAPI 2.0 document in JSON, generated from
// the .proto files.
//
//go:embed gen/openapi/gantry.swagger.json
var OpenAPI []byte
