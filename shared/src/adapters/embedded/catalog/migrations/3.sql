-- How good a product or an opportunity is, how far it can be trusted, and why not; NULL where it is not known. Reasons stand
-- between commas: ",ean_mismatch,stale_leg,".
ALTER TABLE products ADD COLUMN score INTEGER;
CREATE INDEX products_by_score ON products (score IS NULL, score, asin);
ALTER TABLE opportunities ADD COLUMN confidence INTEGER;
ALTER TABLE opportunities ADD COLUMN score INTEGER;
ALTER TABLE opportunities ADD COLUMN traps TEXT;
CREATE INDEX opportunities_by_score ON opportunities (is_active, score DESC);
