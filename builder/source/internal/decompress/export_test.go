package decompress

// FreeSlots is the number of blocks that could be decoded ahead now.
func FreeSlots() int { return cap(aheadSlots) - len(aheadSlots) }
