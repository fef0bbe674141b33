//! The words that made-up products are named with, in the five languages of the markets.
//! Brands, sellers, authors and places are invented.

use shared::domain::Marketplace;

/// The markets that the simulated products are sold in; texts stand in this order.
pub(super) const MARKETS: [Marketplace; 5] = [Marketplace::DE, Marketplace::FR, Marketplace::IT, Marketplace::ES, Marketplace::UK];

/// One text per market, in the order of [`MARKETS`].
pub(super) type Text = [&'static str; 5];

/// A root category with everything that is sold in it.
pub(super) struct Department {
    pub(super) name: Text,
    /// Amazon's name for the group, the same everywhere.
    pub(super) display_group: &'static str,
    pub(super) referral_fee_percentage: f64,
    pub(super) features: &'static [Text],
    pub(super) aisles: &'static [Aisle],
}

/// The second level of the category tree.
pub(super) struct Aisle {
    pub(super) name: Text,
    pub(super) kinds: &'static [Kind],
}

/// What an article is, and the third level of the category tree.
pub(super) struct Kind {
    pub(super) noun: Text,
    /// Usual prices in euro, lowest and highest.
    pub(super) price: (u32, u32),
    /// Usual weights in grams, lowest and highest.
    pub(super) weight: (u32, u32),
    /// Longest side of the package in millimetres.
    pub(super) length: u32,
}

const fn kind(noun: Text, price: (u32, u32), weight: (u32, u32), length: u32) -> Kind {
    Kind { noun, price, weight, length }
}

/// The last department holds the books: they are named and numbered in their own way.
pub(super) const BOOKS: usize = DEPARTMENTS.len() - 1;

pub(super) const DEPARTMENTS: &[Department] = &[
    Department {
        name: ["Elektronik & Foto", "High-Tech", "Elettronica", "Electrónica", "Electronics & Photo"],
        display_group: "ce_display_on_website",
        referral_fee_percentage: 7.21,
        features: &[
            ["Bluetooth 5.3", "Bluetooth 5.3", "Bluetooth 5.3", "Bluetooth 5.3", "Bluetooth 5.3"],
            ["USB-C-Anschluss", "port USB-C", "porta USB-C", "puerto USB-C", "USB-C port"],
            [
                "30 Stunden Akkulaufzeit",
                "30 heures d'autonomie",
                "30 ore di autonomia",
                "30 horas de autonomía",
                "30-hour battery life",
            ],
            [
                "wasserdicht nach IPX5",
                "étanche IPX5",
                "impermeabile IPX5",
                "resistente al agua IPX5",
                "IPX5 waterproof",
            ],
            ["Schnellladefunktion", "charge rapide", "ricarica rapida", "carga rápida", "fast charging"],
            ["mit Tragetasche", "avec étui de transport", "con custodia", "con estuche", "with carry case"],
        ],
        aisles: &[
            Aisle {
                name: ["Audio & HiFi", "Son et HiFi", "Audio e Hi-Fi", "Audio y HiFi", "Audio & HiFi"],
                kinds: &[
                    kind(
                        [
                            "In-Ear-Kopfhörer",
                            "Écouteurs intra-auriculaires",
                            "Auricolari",
                            "Auriculares in-ear",
                            "In-Ear Headphones",
                        ],
                        (18, 140),
                        (60, 220),
                        140,
                    ),
                    kind(
                        [
                            "Bluetooth-Lautsprecher",
                            "Enceinte Bluetooth",
                            "Altoparlante Bluetooth",
                            "Altavoz Bluetooth",
                            "Bluetooth Speaker",
                        ],
                        (22, 190),
                        (350, 1900),
                        260,
                    ),
                    kind(
                        ["Soundbar", "Barre de son", "Soundbar", "Barra de sonido", "Soundbar"],
                        (69, 380),
                        (1900, 4200),
                        950,
                    ),
                ],
            },
            Aisle {
                name: [
                    "Computer-Zubehör",
                    "Accessoires informatiques",
                    "Accessori per computer",
                    "Accesorios informáticos",
                    "Computer Accessories",
                ],
                kinds: &[
                    kind(
                        [
                            "Mechanische Tastatur",
                            "Clavier mécanique",
                            "Tastiera meccanica",
                            "Teclado mecánico",
                            "Mechanical Keyboard",
                        ],
                        (39, 170),
                        (700, 1300),
                        470,
                    ),
                    kind(
                        ["Kabellose Maus", "Souris sans fil", "Mouse wireless", "Ratón inalámbrico", "Wireless Mouse"],
                        (12, 95),
                        (90, 220),
                        170,
                    ),
                    kind(
                        [
                            "Externe SSD 1 TB",
                            "SSD externe 1 To",
                            "SSD esterno 1 TB",
                            "SSD externo 1 TB",
                            "1 TB External SSD",
                        ],
                        (64, 160),
                        (60, 180),
                        140,
                    ),
                    kind(
                        ["Monitor 27&quot;", "Écran 27&quot;", "Monitor 27&quot;", "Monitor 27&quot;", "27&quot; Monitor"],
                        (129, 420),
                        (4200, 7800),
                        720,
                    ),
                ],
            },
        ],
    },
    Department {
        name: [
            "Küche, Haushalt & Wohnen",
            "Cuisine et Maison",
            "Casa e cucina",
            "Hogar y cocina",
            "Home & Kitchen",
        ],
        display_group: "home_display_on_website",
        referral_fee_percentage: 15.0,
        features: &[
            ["Edelstahl", "acier inoxydable", "acciaio inox", "acero inoxidable", "stainless steel"],
            [
                "spülmaschinenfest",
                "compatible lave-vaisselle",
                "lavabile in lavastoviglie",
                "apto para lavavajillas",
                "dishwasher safe",
            ],
            ["1,7 Liter", "1,7 litre", "1,7 litri", "1,7 litros", "1.7 litres"],
            ["BPA-frei", "sans BPA", "senza BPA", "sin BPA", "BPA free"],
            ["energiesparend", "économe en énergie", "a basso consumo", "de bajo consumo", "energy saving"],
            [
                "5 Jahre Garantie",
                "garantie 5 ans",
                "garanzia 5 anni",
                "5 años de garantía",
                "5-year guarantee",
            ],
        ],
        aisles: &[
            Aisle {
                name: [
                    "Küchengeräte",
                    "Petit électroménager",
                    "Elettrodomestici da cucina",
                    "Pequeño electrodoméstico",
                    "Kitchen Appliances",
                ],
                kinds: &[
                    kind(
                        ["Wasserkocher", "Bouilloire électrique", "Bollitore elettrico", "Hervidor eléctrico", "Kettle"],
                        (19, 89),
                        (900, 1600),
                        270,
                    ),
                    kind(
                        ["Kaffeemühle", "Moulin à café", "Macinacaffè", "Molinillo de café", "Coffee Grinder"],
                        (24, 180),
                        (800, 3200),
                        330,
                    ),
                    kind(
                        ["Heißluftfritteuse", "Friteuse à air", "Friggitrice ad aria", "Freidora de aire", "Air Fryer"],
                        (59, 210),
                        (3900, 7400),
                        420,
                    ),
                    kind(
                        ["Stabmixer", "Mixeur plongeant", "Frullatore a immersione", "Batidora de mano", "Hand Blender"],
                        (21, 110),
                        (700, 1700),
                        400,
                    ),
                ],
            },
            Aisle {
                name: ["Kochen & Essen", "Cuisine et table", "Cucina e tavola", "Cocina y mesa", "Cooking & Dining"],
                kinds: &[
                    kind(
                        ["Bratpfanne 28 cm", "Poêle 28 cm", "Padella 28 cm", "Sartén 28 cm", "Frying Pan 28 cm"],
                        (18, 95),
                        (900, 1900),
                        520,
                    ),
                    kind(
                        ["Messerset", "Set de couteaux", "Set di coltelli", "Juego de cuchillos", "Knife Set"],
                        (25, 160),
                        (900, 2900),
                        390,
                    ),
                    kind(
                        ["Thermobecher", "Mug isotherme", "Tazza termica", "Taza térmica", "Travel Mug"],
                        (11, 39),
                        (220, 480),
                        240,
                    ),
                ],
            },
        ],
    },
    Department {
        name: ["Baumarkt", "Bricolage", "Fai da te", "Bricolaje y herramientas", "DIY & Tools"],
        display_group: "home_improvement_display_on_website",
        referral_fee_percentage: 13.0,
        features: &[
            ["18 Volt", "18 volts", "18 volt", "18 voltios", "18 V"],
            [
                "bürstenloser Motor",
                "moteur sans charbon",
                "motore brushless",
                "motor sin escobillas",
                "brushless motor",
            ],
            ["im Koffer", "en coffret", "in valigetta", "en maletín", "in carry case"],
            [
                "inkl. 2 Akkus",
                "2 batteries incluses",
                "2 batterie incluse",
                "incluye 2 baterías",
                "2 batteries included",
            ],
            ["LED-Arbeitslicht", "éclairage LED", "luce LED", "luz LED", "LED work light"],
        ],
        aisles: &[
            Aisle {
                name: [
                    "Elektrowerkzeuge",
                    "Outillage électroportatif",
                    "Elettroutensili",
                    "Herramientas eléctricas",
                    "Power Tools",
                ],
                kinds: &[
                    kind(
                        [
                            "Akkuschrauber",
                            "Perceuse-visseuse",
                            "Trapano avvitatore",
                            "Taladro atornillador",
                            "Cordless Drill",
                        ],
                        (45, 230),
                        (1400, 3900),
                        380,
                    ),
                    kind(
                        ["Stichsäge", "Scie sauteuse", "Seghetto alternativo", "Sierra de calar", "Jigsaw"],
                        (39, 180),
                        (1900, 3300),
                        310,
                    ),
                    kind(
                        [
                            "Schwingschleifer",
                            "Ponceuse vibrante",
                            "Levigatrice orbitale",
                            "Lijadora orbital",
                            "Orbital Sander",
                        ],
                        (32, 130),
                        (1100, 2100),
                        280,
                    ),
                ],
            },
            Aisle {
                name: ["Handwerkzeuge", "Outils à main", "Utensili manuali", "Herramientas manuales", "Hand Tools"],
                kinds: &[
                    kind(
                        [
                            "Steckschlüsselsatz",
                            "Coffret de douilles",
                            "Set di chiavi a bussola",
                            "Juego de llaves de vaso",
                            "Socket Set",
                        ],
                        (29, 150),
                        (1900, 6400),
                        420,
                    ),
                    kind(
                        ["Kreuzlinienlaser", "Laser en croix", "Livella laser", "Nivel láser", "Cross Line Laser"],
                        (36, 190),
                        (500, 1400),
                        230,
                    ),
                    kind(
                        ["Bit-Set", "Jeu d'embouts", "Set di inserti", "Juego de puntas", "Bit Set"],
                        (9, 42),
                        (250, 900),
                        200,
                    ),
                ],
            },
        ],
    },
    Department {
        name: ["Spielzeug", "Jeux et Jouets", "Giochi e giocattoli", "Juguetes y juegos", "Toys & Games"],
        display_group: "toy_display_on_website",
        referral_fee_percentage: 15.0,
        features: &[
            ["ab 3 Jahren", "dès 3 ans", "da 3 anni", "a partir de 3 años", "ages 3+"],
            ["aus Holz", "en bois", "in legno", "de madera", "wooden"],
            ["120 Teile", "120 pièces", "120 pezzi", "120 piezas", "120 pieces"],
            ["2 bis 6 Spieler", "2 à 6 joueurs", "da 2 a 6 giocatori", "de 2 a 6 jugadores", "2 to 6 players"],
            ["mit Aufbewahrungsbox", "avec boîte de rangement", "con scatola", "con caja", "with storage box"],
        ],
        aisles: &[
            Aisle {
                name: [
                    "Spiele & Puzzles",
                    "Jeux de société et puzzles",
                    "Giochi di società e puzzle",
                    "Juegos de mesa y puzles",
                    "Games & Puzzles",
                ],
                kinds: &[
                    kind(
                        ["Brettspiel", "Jeu de société", "Gioco da tavolo", "Juego de mesa", "Board Game"],
                        (15, 65),
                        (500, 1700),
                        300,
                    ),
                    kind(
                        [
                            "Puzzle 1000 Teile",
                            "Puzzle 1000 pièces",
                            "Puzzle 1000 pezzi",
                            "Puzle de 1000 piezas",
                            "1000 Piece Jigsaw Puzzle",
                        ],
                        (9, 24),
                        (500, 900),
                        370,
                    ),
                    kind(
                        ["Kartenspiel", "Jeu de cartes", "Gioco di carte", "Juego de cartas", "Card Game"],
                        (8, 26),
                        (120, 420),
                        160,
                    ),
                ],
            },
            Aisle {
                name: ["Bauen & Konstruieren", "Construction", "Costruzioni", "Construcción", "Building Toys"],
                kinds: &[
                    kind(
                        [
                            "Magnetbausteine",
                            "Blocs magnétiques",
                            "Costruzioni magnetiche",
                            "Bloques magnéticos",
                            "Magnetic Tiles",
                        ],
                        (24, 95),
                        (900, 2600),
                        340,
                    ),
                    kind(
                        ["Holzeisenbahn", "Train en bois", "Trenino di legno", "Tren de madera", "Wooden Train Set"],
                        (22, 110),
                        (1400, 3900),
                        420,
                    ),
                    kind(
                        [
                            "Experimentierkasten",
                            "Coffret scientifique",
                            "Kit di esperimenti",
                            "Kit de experimentos",
                            "Science Kit",
                        ],
                        (18, 60),
                        (600, 1700),
                        370,
                    ),
                ],
            },
        ],
    },
    Department {
        name: [
            "Sport & Freizeit",
            "Sports et Loisirs",
            "Sport e tempo libero",
            "Deportes y aire libre",
            "Sports & Outdoors",
        ],
        display_group: "sports_display_on_website",
        referral_fee_percentage: 15.0,
        features: &[
            ["ultraleicht", "ultra léger", "ultraleggero", "ultraligero", "ultralight"],
            ["rutschfest", "antidérapant", "antiscivolo", "antideslizante", "non-slip"],
            ["3 Jahreszeiten", "3 saisons", "3 stagioni", "3 estaciones", "3 season"],
            ["mit Packsack", "avec sac de compression", "con sacca", "con bolsa", "with stuff sack"],
            ["reflektierend", "réfléchissant", "riflettente", "reflectante", "reflective"],
        ],
        aisles: &[
            Aisle {
                name: [
                    "Camping & Outdoor",
                    "Camping et randonnée",
                    "Campeggio ed escursionismo",
                    "Acampada y senderismo",
                    "Camping & Hiking",
                ],
                kinds: &[
                    kind(
                        ["Schlafsack", "Sac de couchage", "Sacco a pelo", "Saco de dormir", "Sleeping Bag"],
                        (35, 190),
                        (800, 2300),
                        440,
                    ),
                    kind(
                        [
                            "Wanderrucksack 40 l",
                            "Sac à dos de randonnée 40 l",
                            "Zaino da trekking 40 l",
                            "Mochila de senderismo 40 l",
                            "Hiking Backpack 40 l",
                        ],
                        (39, 160),
                        (900, 1900),
                        620,
                    ),
                    kind(
                        ["Stirnlampe", "Lampe frontale", "Lampada frontale", "Linterna frontal", "Head Torch"],
                        (14, 85),
                        (80, 260),
                        150,
                    ),
                ],
            },
            Aisle {
                name: ["Fitness", "Fitness", "Fitness", "Fitness", "Fitness"],
                kinds: &[
                    kind(
                        ["Yogamatte", "Tapis de yoga", "Tappetino da yoga", "Esterilla de yoga", "Yoga Mat"],
                        (18, 79),
                        (800, 2600),
                        680,
                    ),
                    kind(
                        [
                            "Kurzhanteln 2 x 5 kg",
                            "Haltères 2 x 5 kg",
                            "Manubri 2 x 5 kg",
                            "Mancuernas 2 x 5 kg",
                            "Dumbbells 2 x 5 kg",
                        ],
                        (25, 75),
                        (10100, 10600),
                        330,
                    ),
                    kind(
                        ["Springseil", "Corde à sauter", "Corda per saltare", "Cuerda de saltar", "Skipping Rope"],
                        (8, 28),
                        (120, 420),
                        230,
                    ),
                ],
            },
        ],
    },
    Department {
        name: ["Kosmetik", "Beauté et Parfum", "Bellezza", "Belleza", "Beauty"],
        display_group: "beauty_display_on_website",
        referral_fee_percentage: 8.0,
        features: &[
            ["vegan", "vegan", "vegano", "vegano", "vegan"],
            [
                "für empfindliche Haut",
                "pour peaux sensibles",
                "per pelli sensibili",
                "para pieles sensibles",
                "for sensitive skin",
            ],
            ["ohne Parfum", "sans parfum", "senza profumo", "sin perfume", "fragrance free"],
            ["2er Pack", "lot de 2", "confezione da 2", "pack de 2", "pack of 2"],
            [
                "mit Hyaluron",
                "à l'acide hyaluronique",
                "con acido ialuronico",
                "con ácido hialurónico",
                "with hyaluronic acid",
            ],
        ],
        aisles: &[
            Aisle {
                name: ["Pflege", "Soins", "Cura della pelle", "Cuidado de la piel", "Skin Care"],
                kinds: &[
                    kind(
                        [
                            "Gesichtscreme 50 ml",
                            "Crème visage 50 ml",
                            "Crema viso 50 ml",
                            "Crema facial 50 ml",
                            "Face Cream 50 ml",
                        ],
                        (9, 48),
                        (90, 210),
                        110,
                    ),
                    kind(
                        [
                            "Sonnencreme LSF 50",
                            "Crème solaire SPF 50",
                            "Crema solare SPF 50",
                            "Crema solar SPF 50",
                            "Sun Cream SPF 50",
                        ],
                        (8, 29),
                        (120, 310),
                        190,
                    ),
                    kind(
                        [
                            "Vitamin-C-Serum",
                            "Sérum vitamine C",
                            "Siero alla vitamina C",
                            "Sérum de vitamina C",
                            "Vitamin C Serum",
                        ],
                        (10, 42),
                        (60, 140),
                        120,
                    ),
                ],
            },
            Aisle {
                name: [
                    "Haarpflege & Rasur",
                    "Cheveux et rasage",
                    "Capelli e rasatura",
                    "Cabello y afeitado",
                    "Hair & Shaving",
                ],
                kinds: &[
                    kind(
                        ["Haartrockner", "Sèche-cheveux", "Asciugacapelli", "Secador de pelo", "Hair Dryer"],
                        (24, 160),
                        (500, 1300),
                        300,
                    ),
                    kind(
                        ["Barttrimmer", "Tondeuse à barbe", "Regolabarba", "Recortadora de barba", "Beard Trimmer"],
                        (22, 95),
                        (220, 640),
                        230,
                    ),
                    kind(
                        ["Shampoo 500 ml", "Shampooing 500 ml", "Shampoo 500 ml", "Champú 500 ml", "Shampoo 500 ml"],
                        (7, 26),
                        (520, 620),
                        220,
                    ),
                ],
            },
        ],
    },
    Department {
        name: [
            "Haustier",
            "Animalerie",
            "Prodotti per animali domestici",
            "Productos para mascotas",
            "Pet Supplies",
        ],
        display_group: "pet_products_display_on_website",
        referral_fee_percentage: 15.0,
        features: &[
            ["waschbar", "lavable", "lavabile", "lavable", "washable"],
            [
                "für große Hunde",
                "pour grands chiens",
                "per cani grandi",
                "para perros grandes",
                "for large dogs",
            ],
            ["orthopädisch", "orthopédique", "ortopedico", "ortopédico", "orthopaedic"],
            ["geräuscharm", "silencieux", "silenzioso", "silencioso", "quiet"],
        ],
        aisles: &[
            Aisle {
                name: ["Hunde", "Chiens", "Cani", "Perros", "Dogs"],
                kinds: &[
                    kind(
                        ["Hundebett", "Panier pour chien", "Cuccia per cani", "Cama para perros", "Dog Bed"],
                        (25, 110),
                        (1200, 4300),
                        640,
                    ),
                    kind(
                        ["Hundegeschirr", "Harnais pour chien", "Pettorina per cani", "Arnés para perros", "Dog Harness"],
                        (14, 52),
                        (150, 480),
                        250,
                    ),
                ],
            },
            Aisle {
                name: ["Katzen", "Chats", "Gatti", "Gatos", "Cats"],
                kinds: &[
                    kind(
                        ["Trinkbrunnen", "Fontaine à eau", "Fontanella", "Fuente de agua", "Water Fountain"],
                        (19, 65),
                        (700, 1600),
                        250,
                    ),
                    kind(
                        ["Kratzbaum", "Arbre à chat", "Tiragraffi", "Rascador", "Cat Tree"],
                        (35, 140),
                        (5200, 14800),
                        620,
                    ),
                    kind(
                        [
                            "Futterautomat",
                            "Distributeur de croquettes",
                            "Distributore di cibo",
                            "Comedero automático",
                            "Automatic Feeder",
                        ],
                        (32, 120),
                        (1300, 2900),
                        380,
                    ),
                ],
            },
        ],
    },
    Department {
        name: ["Garten", "Jardin", "Giardino e giardinaggio", "Jardín", "Garden"],
        display_group: "lawn_garden_display_on_website",
        referral_fee_percentage: 15.0,
        features: &[
            [
                "wetterfest",
                "résistant aux intempéries",
                "resistente alle intemperie",
                "resistente a la intemperie",
                "weatherproof",
            ],
            [
                "mit Solarpanel",
                "avec panneau solaire",
                "con pannello solare",
                "con panel solar",
                "with solar panel",
            ],
            ["20 m Reichweite", "portée 20 m", "portata 20 m", "alcance 20 m", "20 m range"],
            [
                "inkl. Zubehör",
                "accessoires inclus",
                "accessori inclusi",
                "accesorios incluidos",
                "accessories included",
            ],
        ],
        aisles: &[
            Aisle {
                name: ["Bewässerung", "Arrosage", "Irrigazione", "Riego", "Watering"],
                kinds: &[
                    kind(
                        [
                            "Gartenschlauch 25 m",
                            "Tuyau d'arrosage 25 m",
                            "Tubo da giardino 25 m",
                            "Manguera 25 m",
                            "Garden Hose 25 m",
                        ],
                        (22, 85),
                        (2300, 4600),
                        420,
                    ),
                    kind(
                        [
                            "Bewässerungscomputer",
                            "Programmateur d'arrosage",
                            "Programmatore di irrigazione",
                            "Programador de riego",
                            "Water Timer",
                        ],
                        (24, 90),
                        (350, 800),
                        200,
                    ),
                ],
            },
            Aisle {
                name: [
                    "Grillen & Terrasse",
                    "Barbecue et terrasse",
                    "Barbecue e terrazza",
                    "Barbacoa y terraza",
                    "Barbecue & Patio",
                ],
                kinds: &[
                    kind(
                        ["Tischgrill", "Barbecue de table", "Barbecue da tavolo", "Barbacoa de mesa", "Tabletop Grill"],
                        (39, 190),
                        (3300, 9800),
                        520,
                    ),
                    kind(
                        [
                            "Solarleuchten 6er Set",
                            "Lampes solaires lot de 6",
                            "Luci solari set da 6",
                            "Luces solares set de 6",
                            "Solar Lights Set of 6",
                        ],
                        (19, 60),
                        (700, 1800),
                        390,
                    ),
                    kind(
                        ["Astschere", "Ébrancheur", "Troncarami", "Tijera de podar", "Loppers"],
                        (18, 70),
                        (700, 1700),
                        780,
                    ),
                ],
            },
        ],
    },
    Department {
        name: [
            "Bürobedarf & Schreibwaren",
            "Fournitures de bureau",
            "Cancelleria e prodotti per ufficio",
            "Oficina y papelería",
            "Stationery & Office Supplies",
        ],
        display_group: "office_product_display_on_website",
        referral_fee_percentage: 15.0,
        features: &[
            ["DIN A4", "format A4", "formato A4", "formato A4", "A4"],
            ["10er Pack", "lot de 10", "confezione da 10", "pack de 10", "pack of 10"],
            ["nachfüllbar", "rechargeable", "ricaricabile", "recargable", "refillable"],
            ["FSC-zertifiziert", "certifié FSC", "certificato FSC", "certificado FSC", "FSC certified"],
        ],
        aisles: &[
            Aisle {
                name: [
                    "Schreiben & Zeichnen",
                    "Écriture et dessin",
                    "Scrittura e disegno",
                    "Escritura y dibujo",
                    "Writing & Drawing",
                ],
                kinds: &[
                    kind(
                        ["Füllfederhalter", "Stylo plume", "Penna stilografica", "Pluma estilográfica", "Fountain Pen"],
                        (12, 85),
                        (40, 160),
                        180,
                    ),
                    kind(
                        [
                            "Aquarellfarben 24 Farben",
                            "Aquarelles 24 couleurs",
                            "Acquerelli 24 colori",
                            "Acuarelas 24 colores",
                            "Watercolour Paints 24 Colours",
                        ],
                        (11, 48),
                        (250, 700),
                        280,
                    ),
                ],
            },
            Aisle {
                name: [
                    "Bürogeräte",
                    "Machines de bureau",
                    "Macchine per ufficio",
                    "Máquinas de oficina",
                    "Office Machines",
                ],
                kinds: &[
                    kind(
                        [
                            "Aktenvernichter",
                            "Destructeur de documents",
                            "Distruggidocumenti",
                            "Destructora de papel",
                            "Shredder",
                        ],
                        (39, 180),
                        (3200, 8900),
                        420,
                    ),
                    kind(
                        ["Laminiergerät", "Plastifieuse", "Plastificatrice", "Plastificadora", "Laminator"],
                        (25, 95),
                        (1200, 2400),
                        400,
                    ),
                    kind(
                        ["Etikettendrucker", "Étiqueteuse", "Etichettatrice", "Etiquetadora", "Label Printer"],
                        (28, 130),
                        (500, 1300),
                        250,
                    ),
                ],
            },
        ],
    },
    Department {
        name: ["Bücher", "Livres", "Libri", "Libros", "Books"],
        display_group: "book_display_on_website",
        referral_fee_percentage: 15.01,
        features: &[],
        aisles: &[
            Aisle {
                name: ["Belletristik", "Littérature", "Narrativa", "Literatura y ficción", "Fiction"],
                kinds: &[
                    kind(["Roman", "Roman", "Romanzo", "Novela", "Novel"], (9, 26), (220, 620), 210),
                    kind(["Thriller", "Thriller", "Thriller", "Thriller", "Thriller"], (9, 24), (250, 560), 210),
                ],
            },
            Aisle {
                name: ["Ratgeber", "Vie pratique", "Tempo libero", "Hogar y manualidades", "Home & Lifestyle"],
                kinds: &[
                    kind(
                        ["Kochbuch", "Livre de cuisine", "Libro di ricette", "Libro de cocina", "Cookbook"],
                        (14, 42),
                        (600, 1500),
                        270,
                    ),
                    kind(
                        ["Reiseführer", "Guide de voyage", "Guida turistica", "Guía de viaje", "Travel Guide"],
                        (12, 30),
                        (280, 560),
                        200,
                    ),
                ],
            },
        ],
    },
];

pub(super) const BRANDS: &[&str] = &[
    "Velmora",
    "Kestrin",
    "Nordvik & Lund",
    "Halbrecht",
    "Ostrava Works",
    "Pellwood",
    "Lumenor",
    "Trevanto",
    "Brixholm",
    "Casanelli",
    "Ferrando Due",
    "Quintavo",
    "Maison Delorme",
    "Aubrac & Fils",
    "Solvanta",
    "Tierra Baja",
    "Monteluz",
    "Ardenor",
    "Wexcombe",
    "Thornby",
    "Greymoor",
    "Skjold",
    "Fjellberg",
    "Ravenna Lab",
    "Zirkona",
    "Ohmfeld",
    "Kupferhof",
    "Wiesental",
    "Bergamont",
    "Zephiria",
    "Novacleo",
    "Auralis",
    "Pixelform",
    "Hydroluna",
    "Tamarisk",
    "Cobaltine",
    "Juniperra",
    "Orsola",
];

/// Names of product lines; a number follows.
pub(super) const LINES: &[&str] = &[
    "Aero", "Pro", "Nova", "Core", "Flex", "Prime", "Terra", "Urban", "Classic", "Vario", "Alpha", "Lite", "Compact", "Duo", "Evo",
];

pub(super) const COLOURS: &[Text] = &[
    ["Schwarz", "Noir", "Nero", "Negro", "Black"],
    ["Weiß", "Blanc", "Bianco", "Blanco", "White"],
    ["Silber", "Argent", "Argento", "Plata", "Silver"],
    ["Dunkelgrün", "Vert foncé", "Verde scuro", "Verde oscuro", "Dark Green"],
    ["Blau", "Bleu", "Blu", "Azul", "Blue"],
    ["Rot", "Rouge", "Rosso", "Rojo", "Red"],
];

/// Book titles; a place stands at the end.
pub(super) const BOOK_TITLES: &[Text] = &[
    ["Das Geheimnis von", "Le Secret de", "Il segreto di", "El secreto de", "The Secret of"],
    ["Ein Sommer in", "Un été à", "Un'estate a", "Un verano en", "A Summer in"],
    ["Die Gärten von", "Les Jardins de", "I giardini di", "Los jardines de", "The Gardens of"],
    ["Winter über", "L'Hiver sur", "Inverno su", "Invierno sobre", "Winter over"],
    ["Die Leute von", "Les Gens de", "La gente di", "La gente de", "The People of"],
    ["Zu Tisch in", "À table à", "A tavola a", "En la mesa de", "At the Table in"],
];

pub(super) const PLACES: &[&str] = &[
    "Montelura",
    "Castelvano",
    "Grauwacht",
    "Sant Aurel",
    "Lysenfjord",
    "Valdemira",
    "Port Quellan",
    "Hohenrode",
    "Belcastro Alto",
    "Islamar",
    "Thornhaven",
    "Auberive-les-Eaux",
];

pub(super) const AUTHORS: &[&str] = &[
    "Marlene Oswin",
    "Theo Brackmann",
    "Ines Valcorba",
    "Luc Thévenard",
    "Carla Montesi",
    "Rowan Ashgrove",
    "Pilar Quesnel",
    "Jonas Ehrental",
    "Odile Ferrane",
    "Matteo Landrisi",
];

pub(super) const PUBLISHERS: &[&str] = &[
    "Lindenkai Verlag",
    "Éditions du Vieux Pont",
    "Casa Arancia",
    "Editorial Faro Norte",
    "Kestrel House",
];

pub(super) const SELLERS: &[&str] = &[
    "Nordlicht Handel",
    "Kaufrausch24",
    "Bazar Central",
    "Tecnomercato",
    "El Rincón Digital",
    "Brightmarket",
    "Alpen Versand",
    "La Boutique Express",
    "Casa Conviene",
    "Ofertalia",
    "Greenfield Traders",
    "Rheinkontor",
    "Galerie Direct",
    "Mondo Sconti",
    "Todo Hogar Plus",
    "Harbour Street Goods",
    "Elbe Outlet",
    "Marché Malin",
    "Stella Store",
    "Puerto Norte Shop",
];

/// The market's place in every [`Text`]; `None` where nothing simulated is sold.
pub(super) fn market_index(marketplace: Marketplace) -> Option<usize> {
    MARKETS.iter().position(|market| *market == marketplace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_department_has_two_levels_below_it_and_believable_ranges() {
        assert_eq!(DEPARTMENTS.len(), 10);
        for kind in DEPARTMENTS.iter().flat_map(|department| department.aisles).flat_map(|aisle| aisle.kinds) {
            assert!(
                kind.price.0 < kind.price.1 && kind.weight.0 < kind.weight.1 && kind.length > 0,
                "{}",
                kind.noun[4]
            );
        }
        assert_eq!(DEPARTMENTS[BOOKS].name[4], "Books");
    }
}
