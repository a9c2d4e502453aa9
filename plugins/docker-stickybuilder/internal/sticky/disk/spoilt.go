package disk

// Spoilt is the error of a Clone whose generation the disk's home has lost parts of, or has
// as what no job has made: to try again is of no use, and another generation is to be
// cloned. It matches ErrBad.
type Spoilt struct {
	Lineage Lineage
	ID      string
	Err     error
}

func (e *Spoilt) Error() string   { return e.Err.Error() }
func (e *Spoilt) Unwrap() []error { return []error{ErrBad, e.Err} }
