package image

const partitionsPerChunk = 64

// partitions is a persistent vector: a change copies one chunk and the list of chunks, so that changing one partition of
// a topic with ten thousand costs a few hundred pointers.
type partitions struct {
	chunks []*[partitionsPerChunk]*Partition
	count  int
}

func (v partitions) at(i int32) *Partition {
	if i < 0 || int(i) >= v.count {
		return nil
	}
	return v.chunks[i/partitionsPerChunk][i%partitionsPerChunk]
}

// with returns the vector with more partitions at its end.
func (v partitions) with(more []*Partition) partitions {
	need := (v.count + len(more) + partitionsPerChunk - 1) / partitionsPerChunk
	chunks := make([]*[partitionsPerChunk]*Partition, len(v.chunks), need)
	copy(chunks, v.chunks)
	if last := len(chunks) - 1; v.count%partitionsPerChunk != 0 {
		own := *chunks[last]
		chunks[last] = &own
	}
	for len(chunks) < need {
		chunks = append(chunks, new([partitionsPerChunk]*Partition))
	}
	for i, p := range more {
		n := v.count + i
		chunks[n/partitionsPerChunk][n%partitionsPerChunk] = p
	}
	return partitions{chunks: chunks, count: v.count + len(more)}
}

// replaced returns the vector with the partitions of changes, which must exist, put in place of the old ones.
func (v partitions) replaced(changes map[int32]*Partition) partitions {
	chunks := make([]*[partitionsPerChunk]*Partition, len(v.chunks))
	copy(chunks, v.chunks)
	for i, p := range changes {
		c := i / partitionsPerChunk
		if chunks[c] == v.chunks[c] {
			own := *chunks[c]
			chunks[c] = &own
		}
		chunks[c][i%partitionsPerChunk] = p
	}
	return partitions{chunks: chunks, count: v.count}
}
