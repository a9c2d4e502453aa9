package longzstd

import "io"

// A pipeline compresses blocks in three stages, which work side by side on blocks that
// follow one another: what one makes of a block does not depend on the later ones.
type pipeline struct {
	far     far
	near    finder
	encoder *encoder
	w       io.Writer
	failed  error // of the last stage
	jobs    [stages + 1]job
	turn    int
	before  [stages]chan struct{} // the stages of the block that was begun last
}

const stages = 3

// A job is a block on its way through the stages.
type job struct {
	block
	header  []byte  // of the frame, if it is to be written before the block
	history []byte  // up to the end of the block
	start   int     // of the block, in the history
	base    int     // position of the beginning of the history
	low     int     // how far back matches reach, in the history
	known   []match // that somebody has told of, in order
	matches []match // these and those that are far
	anchor  int     // where literals begin that belong to no sequence yet
	err     error
	done    [stages]chan struct{} // closed when a stage has done its part
}

// next returns a job that is free. It fails as soon as a block could not be written.
func (p *pipeline) next() (*job, error) {
	j := &p.jobs[p.turn]
	p.turn = (p.turn + 1) % len(p.jobs)
	if last := j.done[stages-1]; last != nil {
		<-last
	}
	return j, j.err
}

// run begins a job.
func (p *pipeline) run(j *job) {
	before := p.before
	for i := range j.done {
		j.done[i] = make(chan struct{})
	}
	p.before = j.done
	go func() {
		for i, stage := range [stages]func(*job){p.far.block, p.findNear, p.write} {
			if before[i] != nil {
				<-before[i]
			}
			stage(j)
			close(j.done[i])
		}
	}()
}

// wait waits for all jobs, and returns why one of them has failed.
func (p *pipeline) wait() error {
	if last := p.before[stages-1]; last != nil {
		<-last
	}
	return p.failed
}

// reset makes ready for another frame. Nothing is under way.
func (p *pipeline) reset(w io.Writer) {
	p.w, p.failed = w, nil
	for i := range p.jobs {
		p.jobs[i].err = nil
	}
	p.encoder = newEncoder()
	p.forget()
}

// forget lets go of all positions. Nothing is under way.
func (p *pipeline) forget() {
	p.far.reset()
	p.near.reset()
}

// findNear makes the sequences of a block, of the matches that are far and of what lies
// between them.
func (p *pipeline) findNear(j *job) {
	j.anchor = j.start
	at := j.start
	for _, m := range j.matches {
		j.anchor = p.near.find(j.history, j.base, j.anchor, at, m.start, j.low, &j.block)
		j.literals = append(j.literals, j.history[j.anchor:m.start]...)
		j.sequences = append(j.sequences, sequence{uint32(m.start - j.anchor), uint32(m.end - m.start), uint32(m.distance)})
		p.near.used(m.distance)
		// The places of the match are not all remembered: there is the one that it repeats.
		for i := m.start; i < m.end-8; i += 32 {
			p.near.insert(j.history, j.base, i)
		}
		at, j.anchor = m.end, m.end
	}
	j.anchor = p.near.find(j.history, j.base, j.anchor, at, len(j.history), j.low, &j.block)
	j.literals = append(j.literals, j.history[j.anchor:]...)
}

// write encodes and writes a block.
func (p *pipeline) write(j *job) {
	if p.failed == nil && j.header != nil {
		_, p.failed = p.w.Write(j.header)
	}
	if p.failed == nil {
		var out []byte
		if out, p.failed = p.encoder.encode(&j.block); p.failed == nil {
			_, p.failed = p.w.Write(out)
		}
	}
	j.err = p.failed
}
