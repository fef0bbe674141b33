-- What is left of a gap for the configured seller; NULL where it is not known.
ALTER TABLE opportunities ADD COLUMN profit INTEGER;
ALTER TABLE opportunities ADD COLUMN roi INTEGER;
ALTER TABLE opportunities ADD COLUMN buffer INTEGER;
CREATE INDEX opportunities_by_profit ON opportunities (is_active, profit DESC);
