package journal

// protection is what keeps stale writers out. A build with the tag chaoscontrol can leave it out, so that the suite of `make chaos` can be
// seen to fail; nothing that is shipped can.
type protection string

// theFence is the refusal of every fence but the head's own, and of every taker without proof that the attempt of another site is over.
const theFence protection = "no-fence"
