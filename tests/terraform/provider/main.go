// A stand-in for the AWS provider that knows its schema and nothing else, for machines that cannot fetch the provider itself:
// with it, `terraform validate` and `terraform test` with a mocked provider run offline.
//
// SCHEMAS lists files of `terraform providers schema -json`, gzipped if they end in .gz, separated by colons.
package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

const address = "registry.terraform.io/hashicorp/aws"

type attribute struct {
	Type      json.RawMessage `json:"type"`
	Required  bool            `json:"required"`
	Optional  bool            `json:"optional"`
	Computed  bool            `json:"computed"`
	Sensitive bool            `json:"sensitive"`
}

type nested struct {
	Mode     string `json:"nesting_mode"`
	Block    block  `json:"block"`
	MinItems int64  `json:"min_items"`
	MaxItems int64  `json:"max_items"`
}

type block struct {
	Attributes map[string]attribute `json:"attributes"`
	BlockTypes map[string]nested    `json:"block_types"`
}

type schema struct {
	Version int64 `json:"version"`
	Block   block `json:"block"`
}

type schemas struct {
	Provider    *schema           `json:"provider"`
	Resources   map[string]schema `json:"resource_schemas"`
	DataSources map[string]schema `json:"data_source_schemas"`
}

var modes = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	"list":   tfprotov5.SchemaNestedBlockNestingModeList,
	"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
	"map":    tfprotov5.SchemaNestedBlockNestingModeMap,
	"group":  tfprotov5.SchemaNestedBlockNestingModeGroup,
}

// must stops the provider: Terraform then shows what it wrote.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (b block) terraform() *tfprotov5.SchemaBlock {
	made := &tfprotov5.SchemaBlock{}
	for name, a := range b.Attributes {
		made.Attributes = append(made.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: must(tftypes.ParseJSONType(a.Type)), //nolint:staticcheck // the one way from JSON to a type
			Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive,
		})
	}
	for name, n := range b.BlockTypes {
		made.BlockTypes = append(made.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Block: n.Block.terraform(), Nesting: modes[n.Mode], MinItems: n.MinItems, MaxItems: n.MaxItems,
		})
	}
	return made
}

func (s schema) terraform() *tfprotov5.Schema {
	return &tfprotov5.Schema{Version: s.Version, Block: s.Block.terraform()}
}

// server answers what a provider is asked before anything is planned; a call of any other method is a fault of the test.
type server struct {
	tfprotov5.ProviderServer
	answer *tfprotov5.GetProviderSchemaResponse
}

func (s *server) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	return s.answer, nil
}

func (s *server) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func (s *server) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (s *server) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (s *server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func read(path string) schemas {
	var reader io.Reader = must(os.Open(path))
	if strings.HasSuffix(path, ".gz") {
		reader = must(gzip.NewReader(reader))
	}
	var document struct {
		Schemas map[string]schemas `json:"provider_schemas"`
	}
	if err := json.NewDecoder(reader).Decode(&document); err != nil {
		panic(err)
	}
	return document.Schemas[address]
}

func main() {
	answer := &tfprotov5.GetProviderSchemaResponse{
		ResourceSchemas: map[string]*tfprotov5.Schema{}, DataSourceSchemas: map[string]*tfprotov5.Schema{},
	}
	for _, path := range strings.Split(os.Getenv("SCHEMAS"), ":") {
		known := read(path)
		if known.Provider != nil {
			answer.Provider = known.Provider.terraform()
		}
		for name, s := range known.Resources {
			answer.ResourceSchemas[name] = s.terraform()
		}
		for name, s := range known.DataSources {
			answer.DataSourceSchemas[name] = s.terraform()
		}
	}
	if err := tf5server.Serve(address, func() tfprotov5.ProviderServer { return &server{answer: answer} }); err != nil {
		panic(err)
	}
}
