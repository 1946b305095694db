package replica

import "github.com/millrace-io/millrace/broker/log/producer"

// BeginVerification says under which guard the transaction coordinator is to be asked about a batch that this broker is
// to append; producer.NoGuard: nobody needs to be asked. See log.Log.
func (p *Partition) BeginVerification(id int64, epoch int16, sequence int32, bumps bool) (producer.Guard, error) {
	l, err := p.writable(0)
	if err != nil {
		return producer.NoGuard, err
	}
	guard, err := l.BeginVerification(id, epoch, sequence, bumps)
	if err != nil {
		return guard, p.failed(err)
	}
	return guard, nil
}
