package render

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"text/template"
)

// checkFields executes a template on samples of a type and reports fields and
// methods that the type does not have. All else that goes wrong depends on values,
// which samples have others of than the result.
func checkFields(t templateExecutor, typ reflect.Type) error {
	for typ.Kind() == reflect.Slice {
		typ = typ.Elem() // Print executes the template for each element
	}
	// The two samples take both branches of conditions.
	for _, filled := range []bool{true, false} {
		v := reflect.New(typ).Elem()
		fill(v, filled, 0)
		err := t.Execute(io.Discard, v.Interface())
		var exec template.ExecError
		if errors.As(err, &exec) && strings.Contains(err.Error(), "can't evaluate field") && !strings.Contains(err.Error(), "in type interface") {
			return errors.New(err.Error()[strings.Index(err.Error(), "can't evaluate field"):])
		}
	}
	return nil
}

// maxDepth ends types that contain themselves.
const maxDepth = 8

// fill sets pointers, and gives slices and maps an element, so that a template gets
// to see the types of all that is below v; and, with all, scalars that are true.
func fill(v reflect.Value, all bool, depth int) {
	if depth > maxDepth || !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), all, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), all, depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), all, depth+1)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), all, depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(value, all, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	default:
		if all {
			fillScalar(v)
		}
	}
}

func fillScalar(v reflect.Value) {
	switch {
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.CanFloat():
		v.SetFloat(1)
	}
}
