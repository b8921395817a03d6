package pipeline_test

import (
	"bytes"
	"encoding/json"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the packages that programs import ask for or give has a name there:
// no type of an internal package is without an alias.
func TestProgramsCanNameEveryType(t *testing.T) {
	packages := publicPackages(t)
	importing := exporter(t, packages)
	named := map[*types.TypeName]bool{}
	var api []types.Object
	for _, path := range packages {
		pkg, err := importing.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range pkg.Scope().Names() {
			obj := pkg.Scope().Lookup(name)
			if !obj.Exported() {
				continue
			}
			api = append(api, obj)
			if alias, ok := obj.Type().(*types.Alias); ok {
				if n, ok := types.Unalias(alias).(*types.Named); ok {
					named[n.Obj()] = true
				}
			}
		}
	}
	for _, obj := range api {
		where := obj.Pkg().Name() + "." + obj.Name()
		nameless := func(where string, typ types.Type) {
			walk(typ, func(n *types.TypeName) {
				if n.Pkg() != nil && strings.Contains(n.Pkg().Path(), "poolfill/internal/") && !named[n] {
					t.Errorf("%s shows %s.%s, which a program can't name: give it an alias", where, n.Pkg().Name(), n.Name())
				}
			})
		}
		if _, ok := obj.(*types.TypeName); !ok {
			nameless(where, obj.Type())
			continue
		}
		if _, ok := obj.Type().(*types.Alias); ok {
			continue // its own methods and fields may show more than programs need
		}
		methods := types.NewMethodSet(types.NewPointer(obj.Type()))
		for method := range methods.Methods() {
			if method.Obj().Exported() {
				nameless(where+"."+method.Obj().Name(), method.Type())
			}
		}
		nameless(where, obj.Type().Underlying())
	}
}

// publicPackages are the packages that programs import. A test that has the Go
// tool look at them looks at their folders itself, too, so that its result is not
// taken from the cache when they have changed.
func publicPackages(t *testing.T) []string {
	t.Helper()
	packages := []string{"reader", "batcher", "ratelimit", "uploader", "uploader/tolokatest", "uploader/toloka", "reader/verdict", "reader/table", "pipeline/ledger", "pipeline"}
	for i, dir := range packages {
		if _, err := os.ReadDir(filepath.Join("..", dir)); err != nil {
			t.Fatal(err)
		}
		packages[i] = "poolfill/" + dir
	}
	return packages
}

// walk finds the named types that an exported type is made of.
func walk(typ types.Type, found func(*types.TypeName)) {
	tuple := func(vars *types.Tuple) {
		for v := range vars.Variables() {
			walk(v.Type(), found)
		}
	}
	switch typ := typ.(type) {
	case *types.Alias:
		walk(types.Unalias(typ), found)
	case *types.Named:
		found(typ.Obj())
		for arg := range typ.TypeArgs().Types() {
			walk(arg, found)
		}
	case *types.Pointer:
		walk(typ.Elem(), found)
	case *types.Slice:
		walk(typ.Elem(), found)
	case *types.Array:
		walk(typ.Elem(), found)
	case *types.Chan:
		walk(typ.Elem(), found)
	case *types.Map:
		walk(typ.Key(), found)
		walk(typ.Elem(), found)
	case *types.Signature:
		tuple(typ.Params())
		tuple(typ.Results())
	case *types.Struct:
		for field := range typ.Fields() {
			if field.Exported() {
				walk(field.Type(), found)
			}
		}
	case *types.Interface:
		for method := range typ.Methods() {
			walk(method.Type(), found)
		}
	}
}

// exporter imports packages as the compiler has left them.
func exporter(t *testing.T, packages []string) types.Importer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var pkg struct{ ImportPath, Export string }
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		files[pkg.ImportPath] = pkg.Export
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
}
